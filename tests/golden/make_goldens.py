#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Golden values straight from the formulas (docs/math.md), in numpy and nothing else of linattn:

    make_goldens.py > goldens.inc           writes them
    make_goldens.py --check goldens.inc     computes them again and compares; exit code 77 if numpy is missing

Outputs come from the T x T matrix of weights, states from all products of coordinates, gradients from a complex step
through the forward formulas, so that no derivative is written down anywhere.
"""
import re
import sys

try:
    import numpy as np
except ImportError:
    print("numpy is missing: skipped")
    sys.exit(77)

TIME, HEADS, KV_HEADS, VALUES = 4, 2, 1, 2
LAYER_NORM_EPS = 1e-5


def numbers(seed, *shape):
    """Multiples of 1/256 in [-1, 1), the same as pseudo() of golden_test.cpp."""
    i = np.arange(int(np.prod(shape)))
    return ((i * 7919 + seed * 104729) % 509 - 256).reshape(shape) / 256.0


def layer_norm(x, axes):
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + LAYER_NORM_EPS)


def scaled(x, gamma, beta):
    return x / x.shape[-1] ** 0.25


def affine(x, gamma, beta):
    return (x * gamma + beta) / x.shape[-1] ** 0.25


def per_head(x, gamma, beta):
    return affine(layer_norm(x, -1), gamma, beta)


def over_all_heads(x, gamma, beta):
    return affine(layer_norm(x, (-2, -1)), gamma, beta)


def elu_plus_one(x, gamma, beta):
    return np.where(x.real > 0, x + 1, np.exp(x))


def as_is(x, gamma, beta):
    return x


class Case:
    def __init__(self, name, head_dim, prepare, coefficients, normalized=True, causal=True, eps=1e-6, rank=0):
        self.name, self.d, self.prepare, self.c = name, head_dim, prepare, coefficients
        self.normalized, self.causal, self.eps, self.rank = normalized, causal, eps, rank
        self.inputs = {
            "q": numbers(1, TIME, HEADS, head_dim),
            "k": numbers(2, TIME, KV_HEADS, head_dim),
            "v": numbers(3, TIME, KV_HEADS, VALUES),
        }
        if rank:
            for seed, (side, heads) in enumerate((("q", HEADS), ("k", KV_HEADS))):
                shape = (head_dim,) if rank == 1 else (heads, head_dim)
                self.inputs["gamma_" + side] = 1 + numbers(5 + seed, *shape) / 2
                self.inputs["beta_" + side] = numbers(7 + seed, *shape) / 2
        self.grad_out = numbers(4, TIME, HEADS, VALUES)

    def prepared(self, x, side):
        return self.prepare(x[side], x.get("gamma_" + side, 1.0), x.get("beta_" + side, 0.0))

    def forward(self, x):
        q = self.prepared(x, "q")
        k = np.repeat(self.prepared(x, "k"), HEADS // KV_HEADS, axis=1)
        v = np.repeat(x["v"], HEADS // KV_HEADS, axis=1)
        s = np.einsum("thd,jhd->htj", q, k)
        w = self.c[0] + self.c[1] * s + self.c[2] * s * s
        if self.causal:
            w = w * np.tril(np.ones((TIME, TIME)))
        out = np.einsum("htj,jhe->the", w, v)
        denominator = w.sum(axis=2)  # (head, time)
        if self.normalized:
            out = out / (denominator.T[:, :, None] + self.eps)
        return out, denominator

    def state(self):
        """Packed: the constant, x_i, x_i x_j for i <= j, with the roots of their coefficients."""
        k = self.prepared(self.inputs, "k")
        features = []
        if self.c[0] > 0:
            features.append(np.sqrt(self.c[0]) * np.ones(k.shape[:2]))
        if self.c[1] > 0:
            features += [np.sqrt(self.c[1]) * k[..., i] for i in range(self.d)]
        if self.c[2] > 0:
            features += [np.sqrt(self.c[2] * (1 if i == j else 2)) * k[..., i] * k[..., j]
                         for i in range(self.d) for j in range(i, self.d)]
        phi = np.stack(features, axis=-1)  # (time, kv_head, feature)
        return np.einsum("tgn,tge->gne", phi, self.inputs["v"]), phi.sum(axis=0)

    def gradients(self):
        """d sum(out * grad_out) / d x, by a complex step."""
        step = 1e-30
        for name, x in self.inputs.items():
            grad = np.zeros(x.shape)
            for index in np.ndindex(*x.shape):
                moved = dict(self.inputs)
                moved[name] = x.astype(complex)
                moved[name][index] += 1j * step
                grad[index] = (self.forward(moved)[0] * self.grad_out).sum().imag / step
            yield "grad_" + name, grad

    def goldens(self):
        out, denominator = self.forward(self.inputs)
        kv, k_sum = self.state()
        yield from (("out", out), ("denominator", denominator), ("kv", kv), ("k_sum", k_sum))
        yield from self.gradients()


CASES = [
    Case("taylor", 3, scaled, (1, 1, 0.5)),
    Case("taylor_not_causal", 3, scaled, (1, 1, 0.5), causal=False, eps=0.25),
    Case("power", 3, scaled, (0, 0, 1), eps=0.25),
    Case("rebased", 3, per_head, (0, 0, 1), rank=1),
    Case("rebased_all_heads", 3, over_all_heads, (0, 0, 1), eps=0.25, rank=2),
    Case("rebased_none", 3, affine, (0, 0, 1), eps=0.25, rank=1),
    Case("elu", 3, elu_plus_one, (0, 1, 0)),
    Case("plain", 3, as_is, (0, 1, 0), normalized=False),
]


def text():
    lines = ["// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception",
             "// Written by make_goldens.py. Not to be edited."]
    for case in CASES:
        for what, values in case.goldens():
            lines.append(f"inline constexpr double {case.name}_{what}[] = {{")
            items = [f"{value:.10g}" for value in values.ravel()]
            for i in range(0, len(items), 7):
                lines.append("    " + ", ".join(items[i:i + 7]) + ",")
            lines.append("};")
    return "\n".join(lines) + "\n"


def parse(source):
    pattern = r"inline constexpr double (\w+)\[\] = \{([^}]*)\}"
    return {name: np.array([float(x) for x in body.replace(",", " ").split()])
            for name, body in re.findall(pattern, source)}


def check(path):
    with open(path, encoding="utf-8") as file:
        stored = parse(file.read())
    again = parse(text())
    wrong = [name for name in sorted(stored.keys() | again.keys())
             if name not in stored or name not in again or stored[name].shape != again[name].shape
             or np.abs(stored[name] - again[name]).max() > 1e-8 * (1 + np.abs(again[name]).max())]
    print(f"{len(again)} arrays computed again; differ: {', '.join(wrong) or 'none'}")
    return 1 if wrong or not stored else 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]))
    sys.stdout.write(text())
