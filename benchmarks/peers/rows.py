# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is compared: a row runs one peer on the problem; and linattn's two libraries, ours and the one on OpenBLAS."""
import ctypes
import dataclasses
import typing

import numpy

from problem import EPS


@dataclasses.dataclass
class Row:
    """One peer. `kind` names the answer it must give (problem.answers), `baseline` linattn's form it is divided by."""
    name: str
    kind: str
    baseline: str
    run: typing.Callable[[], None]
    result: typing.Callable[[], numpy.ndarray]  # of the last run: (heads, time, value_dim)
    note: str = ""
    target: float | None = None  # how many times linattn's time it should take at least
    weight: float = 1.0          # the share of its time that is counted


def fastest(candidates, clock, rounds=5):
    """The (label, run) of the candidates whose best call takes least, tried in turns."""
    best = {label: float("inf") for label, _ in candidates}
    for round_number in range(rounds + 1):
        for label, run in candidates:
            begin = clock()
            run()
            if round_number:  # the first touches new memory
                best[label] = min(best[label], clock() - begin)
    return min(candidates, key=lambda candidate: best[candidate[0]])


class _Arguments(ctypes.Structure):
    """peers_problem of library.hpp."""
    _fields_ = ([(name, ctypes.c_void_p) for name in ("q", "k", "v", "out", "gamma_q", "beta_q", "gamma_k", "beta_k")]
                + [(name, ctypes.c_int64) for name in ("heads", "time", "value_dim")]
                + [("eps", ctypes.c_double)]
                + [(name, ctypes.c_int32) for name in ("normalized", "threads", "chunk")])


class Library:
    """A call of libpeers_NAME.so on the problem, with its own output."""

    def __init__(self, folder, name, problem, threads, normalized, chunk=0):
        self.library = ctypes.CDLL(str(folder / f"libpeers_{name}.so"))
        self.forward = getattr(self.library, f"peers_{name}_forward")
        self.problem = problem  # keeps the memory alive
        self.out = numpy.full_like(problem.v, numpy.nan)
        inputs = {key: getattr(problem, key).ctypes.data for key in (
            "q", "k", "v", "gamma_q", "beta_q", "gamma_k", "beta_k")}
        self.arguments = _Arguments(**inputs, out=self.out.ctypes.data, heads=problem.heads, time=problem.time,
                                    value_dim=problem.value_dim, eps=EPS, normalized=normalized, threads=threads,
                                    chunk=chunk)

    def run(self):
        if self.forward(ctypes.byref(self.arguments)) != 0:
            raise RuntimeError(f"{self.forward.__name__} refused its arguments")

    def result(self):
        return self.out


def linattn_rows(folder, problem, threads):
    """{kind: row} of linattn itself."""
    rows = {}
    for kind in ("normalized", "unnormalized"):
        call = Library(folder, "linattn", problem, threads, kind == "normalized")
        rows[kind] = Row(f"linattn, {kind}", kind, kind, call.run, call.result)
    return rows


def openblas_rows(folder, problem, threads, clock):
    """One thread only: the engine is written for one."""
    if threads != 1:
        return []
    chunks = (16, 32, 64, 128)
    calls = {chunk: Library(folder, "openblas", problem, 1, True, chunk) for chunk in chunks}
    chunk, _ = fastest([(chunk, calls[chunk].run) for chunk in chunks], clock)
    core = calls[chunk].library.peers_openblas_core
    core.restype = ctypes.c_char_p
    return [Row("linattn's algorithm on OpenBLAS", "normalized", "normalized", calls[chunk].run, calls[chunk].result,
                f"chunk {chunk}, the fastest of {chunks}; kernels of {core().decode()}", 1.2)]
