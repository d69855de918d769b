# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The two-layer model of examples/mqar with ReBased, in PyTorch, with the weights of `mqar --benchmark`."""
import dataclasses

import numpy
import torch
from torch import nn
from torch.nn import functional

HEAD_DIM = 16
TAPS = 3
EPS = 1e-6  # of the attention's denominator
ALIGNMENT = 16  # floats: each slice of the file begins at such a multiple


@dataclasses.dataclass
class Shape:
    time: int
    vocabulary: int
    width: int
    heads: int

    @property
    def value_dim(self):
        return max(1, self.width // self.heads)


class Flat:
    """Reads slices of the flat array in the order in which mqar's layers reserve them."""

    def __init__(self, values):
        self.values = values
        self.at = 0

    def take(self, *shape):
        first = -(-self.at // ALIGNMENT) * ALIGNMENT
        self.at = first + int(numpy.prod(shape))
        return nn.Parameter(torch.from_numpy(self.values[first : self.at].reshape(shape).copy()))


class LayerNorm(nn.Module):
    def __init__(self, flat, width):
        super().__init__()
        self.gain, self.offset = flat.take(width), flat.take(width)

    def forward(self, x):
        return functional.layer_norm(x, x.shape[-1:], self.gain, self.offset)


class ShortConvolution(nn.Module):
    """conv(u) * (W u + b) + u."""

    def __init__(self, flat, width):
        super().__init__()
        self.weight, self.bias = flat.take(width, width), flat.take(width)
        self.filter, self.filter_bias = flat.take(TAPS, width), flat.take(width)

    def forward(self, u):
        taps = self.filter.flip(0).t().unsqueeze(1)  # (width, 1, TAPS), the newest token last
        padded = functional.pad(u.transpose(1, 2), (TAPS - 1, 0))
        mixed = functional.conv1d(padded, taps, self.filter_bias, groups=u.shape[-1]).transpose(1, 2)
        return mixed * (u @ self.weight + self.bias) + u


class ReBased(nn.Module):
    """The parallel form: at such lengths it is the fastest that PyTorch has."""

    def __init__(self, flat, shape):
        super().__init__()
        self.shape = shape
        heads = shape.heads
        self.fused = flat.take(shape.width, heads * (2 * HEAD_DIM + shape.value_dim))
        self.back = flat.take(heads * shape.value_dim, shape.width)
        parts = flat.take(4, heads, 1, HEAD_DIM).detach()
        self.gamma_q, self.beta_q, self.gamma_k, self.beta_k = (nn.Parameter(part.clone()) for part in parts)
        self.register_buffer("causal", torch.ones(shape.time, shape.time).tril())

    def forward(self, u):
        batch, time, _ = u.shape
        heads = self.shape.heads
        key = heads * HEAD_DIM
        q, k, v = (u @ self.fused).split([key, key, heads * self.shape.value_dim], dim=-1)
        q, k, v = (x.view(batch, time, heads, -1).transpose(1, 2) for x in (q, k, v))
        q = functional.layer_norm(q, (HEAD_DIM,)) * self.gamma_q + self.beta_q
        k = functional.layer_norm(k, (HEAD_DIM,)) * self.gamma_k + self.beta_k
        weights = (q @ k.transpose(2, 3) * HEAD_DIM**-0.5).square() * self.causal
        out = weights @ v / (weights.sum(-1, keepdim=True) + EPS)
        return out.transpose(1, 2).reshape(batch, time, -1) @ self.back


class Model(nn.Module):
    def __init__(self, values, shape):
        super().__init__()
        flat = Flat(values)
        self.table = flat.take(shape.vocabulary, shape.width)
        self.positions = flat.take(shape.time, shape.width)
        self.final_norm = LayerNorm(flat, shape.width)
        self.norm1 = LayerNorm(flat, shape.width)
        self.convolution = ShortConvolution(flat, shape.width)
        self.norm2 = LayerNorm(flat, shape.width)
        self.attention = ReBased(flat, shape)
        if flat.at != len(values):
            raise ValueError(f"the file has {len(values)} weights; accepted: {flat.at}, those of mqar with ReBased")

    def loss(self, tokens, targets):
        """Logits of the queries alone, as in mqar."""
        x = functional.embedding(tokens, self.table) + self.positions
        x = x + self.convolution(self.norm1(x))
        x = x + self.attention(self.norm2(x))
        queries = targets >= 0
        return functional.cross_entropy(self.final_norm(x[queries]) @ self.table.t(), targets[queries])

    def optimizer(self, rate):
        """AdamW in one fused loop, PyTorch's fastest; matrices and filters decay, gains, biases and the map do not."""
        decays = [self.table, self.positions, self.convolution.weight, self.convolution.filter, self.attention.fused,
                  self.attention.back]
        known = {id(each) for each in decays}
        rest = [each for each in self.parameters() if id(each) not in known]
        groups = [{"params": decays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.999), eps=1e-8, fused=True)
