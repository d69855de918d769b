# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares linattn with its peers on one problem: causal ReBased, head_dim 16, float, forward.

compare.py --threads N [--heads H] [--time T] [--value-dim V] [--rounds R] [--json FILE]

All outputs are compared with the definition in double first: a row that is off by more than 1e-5 is refused, and the
exit code is 1. Then each round calls linattn and a peer in turns, peer after peer. A row's ratio is the median over
the rounds of (peer's time) / (linattn's time just before it). One thread is timed by the CPU's clock, several by the
wall clock: those call for an idle machine, and targets are not judged when other processes took more than 5 % of the
cores. Run it on as many cores as threads (run.sh does).
"""
import argparse
import json
import os
import pathlib
import sys
import time

from outcome import OtherWork, context, print_table, summary

ACCEPTED_ERROR = 1e-5


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--time", type=int, default=2048)
    parser.add_argument("--value-dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    if cores != options.threads:
        parser.error(f"{options.threads} threads on {cores} cores; as many cores as threads; use taskset -c")
    return options


def set_threads(threads):
    """Before any peer is loaded."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def all_rows(folder, problem, threads, clock):
    """linattn's rows by kind, and the peers'. Peers are loaded here, after set_threads."""
    import torch

    import fast_transformers_rows
    import ggml_rows
    import pytorch_rows
    import rows
    torch.set_num_threads(threads)
    ours = rows.linattn_rows(folder, problem, threads)
    return ours, [*fast_transformers_rows.fast_transformers_rows(folder, problem),
                  *ggml_rows.ggml_rows(problem, threads), *pytorch_rows.pytorch_rows(problem, clock),
                  *rows.openblas_rows(folder, problem, threads, clock)]


def errors_of(rows, expected, relative_error):
    found = {}
    for row in rows:
        row.run()
        found[row.name] = relative_error(row.result(), expected[row.kind])
        right = found[row.name] <= ACCEPTED_ERROR
        print(f"{row.name}: relative L2 error {found[row.name]:.1e}{'' if right else ', refused'}", file=sys.stderr)
    return found


def timed(run, clock):
    begin = clock()
    run()
    return clock() - begin


def measure(ours, rows, clock, rounds):
    """{name: [(peer's seconds, linattn's seconds before it), one pair a round]}.

    An untimed call comes before each timed one: it fills the caches again, and lets the threads of the last peer, which
    wait for more work for a while, fall asleep.
    """
    pairs = {row.name: [] for row in rows}
    for _ in range(rounds):
        for row in rows:
            ours[row.baseline].run()
            before = timed(ours[row.baseline].run, clock)
            row.run()
            pairs[row.name].append((row.weight * timed(row.run, clock), before))
    return pairs


def main():
    options = parsed_options()
    set_threads(options.threads)
    from problem import answers, make_problem, relative_error
    folder = pathlib.Path(__file__).resolve().parents[2] / "build" / "peers" / "lib"
    problem = make_problem(options.heads, options.time, options.value_dim)
    expected = answers(problem)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    ours, peers = all_rows(folder, problem, options.threads, clock)
    errors = errors_of([*ours.values(), *peers], expected, relative_error)
    right = {name for name, error in errors.items() if error <= ACCEPTED_ERROR}
    if any(row.name not in right for row in ours.values()):
        return 1
    rows = [row for row in peers if row.name in right]
    others = OtherWork()
    pairs = measure(ours, rows, clock, options.rounds)
    share_of_others = others.share()
    token_heads = options.heads * options.time
    results = [summary(row, errors[row.name], pairs[row.name], token_heads) for row in rows]
    about = context(options, share_of_others)
    print_table(about, results)
    if options.json:
        refused = sorted(errors.keys() - right)
        options.json.write_text(json.dumps({"context": about, "rows": results, "refused": refused}, indent=1) + "\n")
    return 0 if len(right) == len(errors) else 1


if __name__ == "__main__":
    sys.exit(main())
