# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The problem that all peers solve, its answers by the definition in double, and ReBased's features in numpy."""
import dataclasses

import numpy

HEAD_DIM = 16
EPS = 1e-6
LAYER_NORM_EPS = 1e-5


@dataclasses.dataclass
class Problem:
    """Float arrays: q, k (heads, time, 16), v (heads, time, value_dim), gamma and beta (16)."""
    q: numpy.ndarray
    k: numpy.ndarray
    v: numpy.ndarray
    gamma_q: numpy.ndarray
    beta_q: numpy.ndarray
    gamma_k: numpy.ndarray
    beta_k: numpy.ndarray

    @property
    def heads(self):
        return self.v.shape[0]

    @property
    def time(self):
        return self.v.shape[1]

    @property
    def value_dim(self):
        return self.v.shape[2]


def make_problem(heads, time, value_dim, seed=1):
    """Normal numbers; gamma and beta as after some training."""
    random = numpy.random.default_rng(seed)

    def normal(*shape):
        return random.standard_normal(shape, dtype=numpy.float32)

    return Problem(normal(heads, time, HEAD_DIM), normal(heads, time, HEAD_DIM), normal(heads, time, value_dim),
                   1 + normal(HEAD_DIM) / 10, normal(HEAD_DIM) / 10, 1 + normal(HEAD_DIM) / 10, normal(HEAD_DIM) / 10)


def prepare(x, gamma, beta):
    """(gamma * LN(x) + beta) / d^(1/4), so that a weight is <q', k'>^2."""
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / numpy.sqrt((centred**2).mean(-1, keepdims=True) + LAYER_NORM_EPS)
    return (normal * gamma + beta) / HEAD_DIM**0.25


def packed_features(x):
    """x_i^2 and sqrt(2) x_i x_j for i < j: 136 features at d = 16."""
    i, j = numpy.triu_indices(HEAD_DIM)
    return x[..., i] * x[..., j] * numpy.where(i == j, 1, numpy.sqrt(2)).astype(x.dtype)


def answers(problem):
    """By the definitions, in double, O(T^2): {'normalized', 'unnormalized', 'softmax'} -> (heads, time, value_dim)."""
    past = numpy.tri(problem.time, dtype=bool)
    found = {kind: numpy.empty(problem.v.shape) for kind in ("normalized", "unnormalized", "softmax")}
    gamma_q, beta_q, gamma_k, beta_k = (numpy.asarray(x, dtype=float) for x in (
        problem.gamma_q, problem.beta_q, problem.gamma_k, problem.beta_k))
    for head in range(problem.heads):
        q, k, v = (x[head].astype(float) for x in (problem.q, problem.k, problem.v))
        weights = numpy.where(past, (prepare(q, gamma_q, beta_q) @ prepare(k, gamma_k, beta_k).T)**2, 0)
        found["unnormalized"][head] = weights @ v
        found["normalized"][head] = weights @ v / (weights.sum(-1, keepdims=True) + EPS)
        scores = numpy.where(past, q @ k.T / numpy.sqrt(HEAD_DIM), -numpy.inf)
        exponentials = numpy.exp(scores - scores.max(-1, keepdims=True))
        found["softmax"][head] = exponentials @ v / exponentials.sum(-1, keepdims=True)
    return found


def relative_error(found, expected):
    """Relative L2 error over all outputs; NaN counts as wrong because it compares as false."""
    return float(numpy.linalg.norm(found.astype(float) - expected) / numpy.linalg.norm(expected))
