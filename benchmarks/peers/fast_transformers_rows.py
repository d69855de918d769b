# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""fast-transformers' causal_product, built with the flags that it ships with and with -O3 -march=native."""
import importlib.util

import torch

from problem import EPS
from pytorch_rows import Tensors, packed_features
from rows import Row

FLAVOURS = {"shipped": "the flags that it ships with", "native": "-O3 -march=native"}


class _Product:
    """The product alone, on features that are there; with_map() is all that a user's layer does."""

    def __init__(self, folder, flavour, problem):
        name = f"causal_product_{flavour}"
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.so")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.product = module.causal_dot_product
        self.tensors = Tensors(problem)
        self.values = self.tensors.v[None]
        self.features = self.expand()
        self.out = torch.full_like(self.values, float("nan"))
        self.normalized = None

    def expand(self):
        return [packed_features(x)[None] for x in self.tensors.prepared()]

    def run(self):
        self.product(*self.features, self.values, self.out)

    def run_with_map(self):
        """Features, product and denominator in the order of the package's CausalLinearAttention."""
        with torch.inference_mode():
            q, k = self.expand()
            scale = 1 / (torch.einsum("nhli,nhli->nhl", q, k.cumsum(2)) + EPS)
            out = torch.zeros_like(self.values)
            self.product(q, k, self.values, out)
            self.normalized = out * scale[..., None]


def fast_transformers_rows(folder, problem):
    rows = []
    for flavour, flags in FLAVOURS.items():
        call = _Product(folder, flavour, problem)
        target = 4.0 if flavour == "native" else None
        rows += [
            Row(f"fast-transformers, {flags}, product alone", "unnormalized", "unnormalized", call.run,
                lambda call=call: call.out[0].numpy(), "without the time of its 136 features and of a denominator",
                target),
            Row(f"fast-transformers, {flags}, whole layer", "normalized", "normalized", call.run_with_map,
                lambda call=call: call.normalized[0].numpy(), "136 packed features by PyTorch, denominator", target),
        ]
    return rows
