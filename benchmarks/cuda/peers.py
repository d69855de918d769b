#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times of neighbours on the shapes of forward.cu and training.cu: peers.py [--shapes BxHxT,...] [--rounds N]

PyTorch's causal softmax attention, and, where its package fla is importable, flash-linear-attention's Based, ReBased
and chunked linear attention: forward, and forward with backward through autograd. bf16, value_dim 64, medians of CUDA
events, inputs rotated past the L2 cache. Prints one JSON object a line; a peer that fails says so in its line. Exit
code 77: no PyTorch or no GPU.
"""
import argparse
import json
import sys

SKIPPED = 77
VALUE_DIM = 64
SHAPES = "8x16x2048,4x16x8192,1x16x32768"
WARM_UP = 5
LONGEST_QUADRATIC = 8192   # the parallel forms take minutes beyond


def peers(torch):
    """(name, map, head_dim, function of q, k, v in (batch, time, head, channel) order, whether quadratic)"""
    attend = torch.nn.functional.scaled_dot_product_attention

    def softmax(q, k, v):
        return attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True).transpose(1, 2)

    found = [("torch scaled_dot_product_attention", "softmax", 64, softmax, False)]
    try:
        from fla.ops.based import fused_chunk_based, parallel_based
        from fla.ops.linear_attn import chunk_linear_attn
        from fla.ops.rebased import parallel_rebased
    except Exception as problem:  # a wheel for another version of torch or triton fails in its own ways
        print(f"flash-linear-attention is left out: {problem}", file=sys.stderr)
        return found

    def elu_plus_one(q, k, v):
        phi = torch.nn.functional.elu
        return chunk_linear_attn(phi(q) + 1, phi(k) + 1, v, scale=1.0, normalize=True)[0]

    return found + [
        ("fla fused_chunk_based", "taylor", 16, fused_chunk_based, False),
        ("fla parallel_based", "taylor", 16, parallel_based, True),
        ("fla parallel_rebased", "rebased", 16, parallel_rebased, True),
        ("fla parallel_based", "taylor", 64, parallel_based, True),
        ("fla chunk_linear_attn", "elu_plus_one", 64, elu_plus_one, False),
    ]


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


def main():
    parser = argparse.ArgumentParser(description="Time linattn's neighbours.")
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    try:
        import torch
    except ImportError as problem:
        print(f"skipped: {problem}", file=sys.stderr)
        sys.exit(SKIPPED)
    if not torch.cuda.is_available():
        print("skipped: no GPU on this machine", file=sys.stderr)
        sys.exit(SKIPPED)
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    torch.manual_seed(42)
    for name, feature_map, head_dim, call, quadratic in peers(torch):
        for batch, heads, time in (map(int, shape.split("x")) for shape in options.shapes.split(",")):
            for what in ("forward", "training"):
                line = {"what": what, "by": name, "map": feature_map, "head_dim": head_dim, "value_dim": VALUE_DIM,
                        "batch": batch, "heads": heads, "time": time, "torch": torch.__version__}
                if quadratic and time > LONGEST_QUADRATIC:
                    line["failed"] = "not tried: quadratic in time"
                else:
                    try:
                        line["ms"] = measure(torch, what, call, (batch, time, heads), head_dim, cache, options.rounds)
                        line["ns_token_head"] = 1e6 * line["ms"] / (batch * heads * time)
                    except Exception as problem:
                        line["failed"] = str(problem).splitlines()[0][:200] if str(problem) else repr(problem)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
