# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ggml's gated linear attention with all gates 1 on ReBased's features.

Its state is square: as many key channels as value channels. 136 features with 64 values are three heads of 64 channels
here, the last padded with zeros, with the same values; their outputs add up. That is less work than one head of 136
channels with padded values.
"""
import ctypes

import ggml
import numpy

from problem import packed_features, prepare
from rows import Row


class _Graph:
    """One ggml graph of one operation. Its tensors are (channel, head, time), fastest first."""

    def __init__(self, problem, threads):
        self.heads, self.time, self.width = problem.v.shape
        queries = packed_features(prepare(problem.q, problem.gamma_q, problem.beta_q))
        keys = packed_features(prepare(problem.k, problem.gamma_k, problem.beta_k))
        self.features = queries.shape[-1]
        self.parts = -(-self.features // self.width)
        size = self.parts * self.heads * self.time * self.width
        state = self.parts * self.heads * self.width**2
        self.context = ggml.ggml_init(ggml.ggml_init_params(mem_size=4 * (6 * size + 3 * state) + (1 << 22)))
        k, v, q, gates = (ggml.ggml_new_tensor_3d(self.context, ggml.GGML_TYPE_F32, self.width, self.parts * self.heads,
                                                  self.time) for _ in range(4))
        zero_state = ggml.ggml_new_tensor_2d(self.context, ggml.GGML_TYPE_F32, state, 1)
        self.fill(k, self.split(keys))
        self.fill(q, self.split(queries))
        self.fill(v, numpy.repeat(problem.v.transpose(1, 0, 2)[:, :, None], self.parts, 2))
        self.fill(gates, numpy.ones(size, dtype=numpy.float32))
        self.fill(zero_state, numpy.zeros(state, dtype=numpy.float32))
        self.out = ggml.ggml_gated_linear_attn(self.context, k, v, q, gates, zero_state, 1.0)
        self.graph = ggml.ggml_new_graph(self.context)
        ggml.ggml_build_forward_expand(self.graph, self.out)
        self.plan = ggml.ggml_graph_plan(self.graph, threads)
        self.work = (ctypes.c_uint8 * max(self.plan.work_size, 1))()
        self.plan.work_data = ctypes.cast(self.work, ctypes.POINTER(ctypes.c_uint8))

    def split(self, features):
        """(heads, time, 136) to (time, heads, parts, 64)."""
        padded = numpy.pad(features, ((0, 0), (0, 0), (0, self.parts * self.width - self.features)))
        return padded.transpose(1, 0, 2).reshape(self.time, self.heads, self.parts, self.width)

    @staticmethod
    def fill(tensor, numbers):
        numbers = numpy.ascontiguousarray(numbers, dtype=numpy.float32)
        ctypes.memmove(ggml.ggml_get_data(tensor), numbers.ctypes.data, numbers.nbytes)

    def run(self):
        if ggml.ggml_graph_compute(self.graph, ctypes.byref(self.plan)) != ggml.GGML_STATUS_SUCCESS:
            raise RuntimeError("ggml_graph_compute failed")

    def result(self):
        """The operation's outputs, summed over the parts: not timed."""
        size = self.time * self.heads * self.parts * self.width
        floats = ctypes.cast(ggml.ggml_get_data(self.out), ctypes.POINTER(ctypes.c_float))
        out = numpy.ctypeslib.as_array(floats, (size,)).reshape(self.time, self.heads, self.parts, self.width)
        return out.sum(2).transpose(1, 0, 2)


def ggml_rows(problem, threads):
    graph = _Graph(problem, threads)
    share = graph.features / (graph.parts * graph.width)
    note = "without the time of its features and of the sum over three heads of 64 channels a head"
    return [
        Row("ggml, gated linear attention", "unnormalized", "unnormalized", graph.run, graph.result, note, 6.0),
        Row("ggml, without its padding", "unnormalized", "unnormalized", graph.run, graph.result,
            f"the same, its time times {graph.features}/{graph.parts * graph.width}: what the padding costs left out",
            6.0, share),
    ]
