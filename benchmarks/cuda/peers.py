#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times of neighbours on the shapes of forward.cu and training.cu: peers.py [--shapes BxHxT,...] [--rounds N] [--check]

PyTorch's causal softmax attention, and, where its package fla is importable, flash-linear-attention's Based, ReBased
and chunked linear attention: forward, and forward with backward through autograd. bf16, value_dim 64, medians of CUDA
events, inputs rotated past the L2 cache. Only a peer whose output and gradients are those of its definition in double,
at a small shape, is timed. Prints one JSON object a line; a peer that fails says so in its line. Exit code 1: a wrong
answer; 77: no PyTorch or no GPU, or with --check a peer that could not be checked.

--check only compares. Without a GPU it does so in float on the CPU: with TRITON_INTERPRET=1 in the environment, Triton
runs the kernels that its interpreter knows.
"""
import argparse
import dataclasses
import json
import sys
import typing

SKIPPED = 77
VALUE_DIM = 64
SHAPES = "8x16x2048,4x16x8192,1x16x32768"
WARM_UP = 5
LONGEST_QUADRATIC = 8192   # the parallel forms take minutes beyond
ACCEPTED = {"float32": (1e-5, 1e-5), "bfloat16": (0.02, 0.1)}  # relative L2 errors of the output, of the gradients


@dataclasses.dataclass
class Peer:
    """call(q, k, v) takes and returns (batch, time, head, channel)."""
    name: str
    map: str
    head_dim: int
    call: typing.Callable
    eps: float = 0.0  # added to its denominators
    quadratic: bool = False


def peers(torch):
    attend = torch.nn.functional.scaled_dot_product_attention

    def softmax(q, k, v):
        return attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True).transpose(1, 2)

    found = [Peer("torch scaled_dot_product_attention", "softmax", 64, softmax)]

    def left_out(reason):
        def fail(*_):
            raise ImportError(reason)
        return Peer("flash-linear-attention", "softmax", 64, fail)

    try:
        from fla.ops.based import fused_chunk_based, parallel_based
        from fla.ops.linear_attn import chunk_linear_attn
        from fla.ops.rebased import parallel_rebased
    except Exception as problem:  # a wheel for another version of torch or triton fails in its own ways
        return [*found, left_out(str(problem))]

    def elu_plus_one(q, k, v):
        phi = torch.nn.functional.elu
        return chunk_linear_attn(phi(q) + 1, phi(k) + 1, v, scale=1.0, normalize=True)[0]

    return found + [
        Peer("fla fused_chunk_based", "taylor", 16, fused_chunk_based, 1e-6),
        Peer("fla parallel_based", "taylor", 16, parallel_based, 1e-6, quadratic=True),
        Peer("fla parallel_rebased", "rebased", 16, parallel_rebased, 1e-5, quadratic=True),
        Peer("fla parallel_based", "taylor", 64, parallel_based, 1e-6, quadratic=True),
        Peer("fla chunk_linear_attn", "elu_plus_one", 64, elu_plus_one, 1e-10),
    ]


def definition(torch, peer, q, k, v):
    """The peer's output, from all pairs of tokens."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if peer.map == "elu_plus_one":
        q, k = (torch.nn.functional.elu(x) + 1 for x in (q, k))
    s = q @ k.transpose(-1, -2) * (1 if peer.map == "elu_plus_one" else peer.head_dim ** -0.5)
    weights = {"softmax": s.exp(), "taylor": 1 + s + s * s / 2, "rebased": s * s, "elu_plus_one": s}[peer.map].tril()
    return (weights @ v / (weights.sum(-1, keepdim=True) + peer.eps)).transpose(1, 2)


def errors(torch, peer, device, element):
    """Relative L2 errors of the output and of the worst gradient, at (1, 192, 2)."""
    def random(width):
        return torch.randn(1, 192, 2, width, device=device, dtype=element)

    def results(call, *tensors):
        q, k, v, grad_out = (x.detach().clone().requires_grad_() for x in tensors)
        out = call(q, k, v)
        out = out[0] if isinstance(out, tuple) else out
        return out, *torch.autograd.grad(out, (q, k, v), grad_out)

    inputs = [random(peer.head_dim), random(peer.head_dim), random(VALUE_DIM), random(VALUE_DIM)]
    exact = results(lambda q, k, v: definition(torch, peer, q, k, v), *(x.double() for x in inputs))
    found = results(peer.call, *inputs)
    relative = [((x.double() - y).norm() / y.norm()).item() for x, y in zip(found, exact)]
    return relative[0], max(relative[1:])


def median_ms(torch, call, sets, rounds):
    events = [torch.cuda.Event(enable_timing=True) for _ in range(rounds + 1)]
    for i in range(WARM_UP):
        call(*sets[i % len(sets)])
    events[0].record()
    for i in range(rounds):
        call(*sets[(WARM_UP + i) % len(sets)])
        events[i + 1].record()
    torch.cuda.synchronize()
    return sorted(begin.elapsed_time(end) for begin, end in zip(events, events[1:]))[rounds // 2]


def measure(torch, what, call, rows, head_dim, cache, rounds):
    """Milliseconds of call(q, k, v), and of its gradients too in a training."""
    def random(width):
        return torch.randn(*rows, width, device="cuda", dtype=torch.bfloat16)

    def with_backward(q, k, v, grad_out):
        return torch.autograd.grad(call(q, k, v), (q, k, v), grad_out)

    training = what == "training"
    bytes_a_set = 2 * rows[0] * rows[1] * rows[2] * (2 * head_dim + (2 if training else 1) * VALUE_DIM)
    count = min(64, 2 + 2 * cache // bytes_a_set)
    sets = [[random(head_dim), random(head_dim), random(VALUE_DIM)] for _ in range(count)]
    if not training:
        with torch.no_grad():
            return median_ms(torch, call, sets, rounds)
    for inputs in sets:
        for x in inputs:
            x.requires_grad_()
        inputs.append(random(VALUE_DIM))
    return median_ms(torch, with_backward, sets, rounds)


def check(torch, peer, device):
    """The line of a peer's check; `wrong` in it says that its answer is."""
    element = torch.bfloat16 if device == "cuda" else torch.float32
    line = {"what": "check", "by": peer.name, "map": peer.map, "head_dim": peer.head_dim, "element": str(element)[6:]}
    try:
        line["output"], line["gradients"] = errors(torch, peer, device, element)
    except Exception as problem:
        line["failed"] = summary(problem)
        return line
    accepted = ACCEPTED[line["element"]]
    if not (line["output"] <= accepted[0] and line["gradients"] <= accepted[1]):
        line["wrong"] = f"errors above {accepted[0]} or {accepted[1]}"
    return line


def summary(problem):
    return str(problem).splitlines()[0][:200] if str(problem) else repr(problem)


def time_peer(torch, peer, options):
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    for batch, heads, time in (map(int, shape.split("x")) for shape in options.shapes.split(",")):
        for what in ("forward", "training"):
            line = {"what": what, "by": peer.name, "map": peer.map, "head_dim": peer.head_dim, "value_dim": VALUE_DIM,
                    "batch": batch, "heads": heads, "time": time, "torch": torch.__version__}
            if peer.quadratic and time > LONGEST_QUADRATIC:
                line["failed"] = "not tried: quadratic in time"
            else:
                try:
                    line["ms"] = measure(torch, what, peer.call, (batch, time, heads), peer.head_dim, cache,
                                         options.rounds)
                    line["ns_token_head"] = 1e6 * line["ms"] / (batch * heads * time)
                except Exception as problem:
                    line["failed"] = summary(problem)
            print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description="Time linattn's neighbours.")
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--check", action="store_true", help="compare with the definitions, time nothing")
    options = parser.parse_args()
    try:
        import torch
    except ImportError as problem:
        print(f"skipped: {problem}", file=sys.stderr)
        sys.exit(SKIPPED)
    has_gpu = torch.cuda.is_available()
    if not has_gpu and not options.check:
        print("skipped: no GPU on this machine", file=sys.stderr)
        sys.exit(SKIPPED)
    torch.manual_seed(42)
    wrong = unchecked = False
    for peer in peers(torch):
        line = check(torch, peer, "cuda" if has_gpu else "cpu")
        print(json.dumps(line), flush=True)
        wrong = wrong or "wrong" in line
        unchecked = unchecked or "failed" in line
        if not options.check and "output" in line and "wrong" not in line:
            time_peer(torch, peer, options)
    sys.exit(1 if wrong else SKIPPED if unchecked and options.check else 0)


if __name__ == "__main__":
    main()
