# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch on the CPU, eager: ReBased by all pairs and in chunks, and softmax attention."""
import torch

from problem import EPS, HEAD_DIM, LAYER_NORM_EPS
from rows import Row, fastest

_I, _J = torch.triu_indices(HEAD_DIM, HEAD_DIM)
_WEIGHTS = torch.where(_I == _J, 1.0, 2.0**0.5)


def prepare(x, gamma, beta):
    root = HEAD_DIM**-0.25  # goes into the parameters, which are small
    return torch.nn.functional.layer_norm(x, (HEAD_DIM,), gamma * root, beta * root, LAYER_NORM_EPS)


def packed_features(x):
    """136 features."""
    return x[..., _I] * (x[..., _J] * _WEIGHTS)


def full_features(x):
    """All 256 products."""
    return (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)


def naive(q, k, v, past):
    weights = (q @ k.transpose(-1, -2)).square() * past
    return weights @ v / (weights.sum(-1, keepdim=True) + EPS)


def chunked_at_once(q, k, v, chunk, features):
    """All chunks in batched products. The denominator is the product with a column of ones."""
    heads, time, width = v.shape
    shape = (heads, time // chunk, chunk, -1)
    values = torch.nn.functional.pad(v, (0, 1), value=1.0).view(shape)
    states = features(k).view(shape).transpose(-1, -2) @ values
    before = states.cumsum(1) - states
    weights = (q.view(shape) @ k.view(shape).transpose(-1, -2)).square_().tril_()
    sums = (weights @ values + features(q).view(shape) @ before).view(heads, time, width + 1)
    return sums[..., :width] / (sums[..., width:] + EPS)


def chunked_in_turn(q, k, v, chunk, features):
    """A loop over the chunks, whose tensors then stay in the cache."""
    heads, time, width = v.shape
    values = torch.nn.functional.pad(v, (0, 1), value=1.0)
    state = None
    out = torch.empty_like(v)
    for begin in range(0, time, chunk):
        now = slice(begin, begin + chunk)
        sums = (q[:, now] @ k[:, now].transpose(-1, -2)).square_().tril_() @ values[:, now]
        key_features = features(k[:, now]).transpose(-1, -2)
        if state is None:
            state = key_features @ values[:, now]
        else:
            sums.baddbmm_(features(q[:, now]), state)
            state.baddbmm_(key_features, values[:, now])
        torch.div(sums[..., :width], sums[..., width:] + EPS, out=out[:, now])
    return out


class _Call:
    """Keeps the last output."""

    def __init__(self, function):
        self.function = function
        self.out = None

    def run(self):
        with torch.inference_mode():
            self.out = self.function()

    def result(self):
        return self.out.numpy()


class Tensors:
    """The problem's arrays as tensors that share their memory."""

    def __init__(self, problem):
        self.q, self.k, self.v = (torch.from_numpy(x) for x in (problem.q, problem.k, problem.v))
        self.for_q = tuple(torch.from_numpy(x) for x in (problem.gamma_q, problem.beta_q))
        self.for_k = tuple(torch.from_numpy(x) for x in (problem.gamma_k, problem.beta_k))

    def prepared(self):
        return prepare(self.q, *self.for_q), prepare(self.k, *self.for_k)


def chunked_row(tensors, clock):
    candidates = []
    for shape in (chunked_at_once, chunked_in_turn):
        for features in (packed_features, full_features):
            for chunk in (16, 32, 64, 128):
                def function(shape=shape, features=features, chunk=chunk):
                    return shape(*tensors.prepared(), tensors.v, chunk, features)
                label = f"{shape.__name__}, {features.__name__}, chunks of {chunk}"
                candidates.append((label, _Call(function).run, function))
    label, _ = fastest([(label, run) for label, run, _ in candidates], clock)
    call = _Call({label: function for label, _, function in candidates}[label])
    return Row("PyTorch, chunked ReBased", "normalized", "normalized", call.run, call.result,
               f"{label}: the fastest of {len(candidates)} ways", 6.0)


def pytorch_rows(problem, clock):
    tensors = Tensors(problem)
    past = torch.ones(problem.time, problem.time).tril()
    by_pairs = _Call(lambda: naive(*tensors.prepared(), tensors.v, past))
    attend = torch.nn.functional.scaled_dot_product_attention

    def softmax(width):
        """With q and k padded by zeros to `width`."""
        def function():
            q, k = (torch.nn.functional.pad(x, (0, width - HEAD_DIM)) for x in (tensors.q, tensors.k))
            return attend(q[None], k[None], tensors.v[None], is_causal=True, scale=HEAD_DIM**-0.5)[0]
        return _Call(function)

    plain, padded = softmax(HEAD_DIM), softmax(problem.value_dim)
    return [
        Row("PyTorch, naive ReBased", "normalized", "normalized", by_pairs.run, by_pairs.result, "all pairs, O(T^2)"),
        chunked_row(tensors, clock),
        Row("PyTorch, softmax SDPA", "softmax", "normalized", plain.run, plain.result,
            "another function, checked against its own definition; head_dim 16, value_dim 64", 20.0),
        Row("PyTorch, softmax SDPA, padded", "softmax", "normalized", padded.run, padded.result,
            "q and k padded to 64 channels, for which PyTorch has a fused kernel", 20.0),
    ]
