# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares linattn with its peers on one problem: causal ReBased, head_dim 16, float, forward.

compare.py --threads N [--heads H] [--time T] [--value-dim V] [--rounds R] [--json FILE]

All outputs are compared with the definition in double first: a row that is off by more than 1e-5 is refused, and the
exit code is 1. Then each round calls linattn and a peer in turns, peer after peer. A row's ratio is the median over
the rounds of (peer's time) / (linattn's time just before it). One thread is timed by the CPU's clock, several by the
wall clock. Run it on as many cores as threads (run.sh does).
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import sys
import time

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
    """Before any peer is loaded. Waiting threads sleep, so that one peer's do not disturb the next."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "passive"


def all_rows(folder, problem, threads):
    """linattn's rows by kind, and the peers'. Peers are loaded here, after set_threads."""
    import torch

    import fast_transformers_rows
    import ggml_rows
    import pytorch_rows
    import rows
    torch.set_num_threads(threads)
    ours = rows.linattn_rows(folder, problem, threads)
    return ours, [*fast_transformers_rows.fast_transformers_rows(folder, problem),
                  *ggml_rows.ggml_rows(problem, threads), *pytorch_rows.pytorch_rows(problem),
                  *rows.openblas_rows(folder, problem, threads)]


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
    """{name: [(peer's seconds, linattn's seconds before it), one pair a round]}; a first call of each warms up."""
    pairs = {row.name: [] for row in rows}
    for _ in range(rounds):
        for row in rows:
            ours[row.baseline].run()
            before = timed(ours[row.baseline].run, clock)
            row.run()
            pairs[row.name].append((row.weight * timed(row.run, clock), before))
    return pairs


def summary(row, error, pairs, token_heads):
    ratios = sorted(peer / ours for peer, ours in pairs)
    return {"name": row.name, "note": row.note, "error": error, "baseline": row.baseline,
            "ns_per_token_head": 1e9 * statistics.median(peer for peer, _ in pairs) / token_heads,
            "linattn_ns_per_token_head": 1e9 * statistics.median(ours for _, ours in pairs) / token_heads,
            "ratio": statistics.median(ratios), "ratio_quartiles": [ratios[len(ratios) // 4],
                                                                    ratios[-1 - len(ratios) // 4]],
            "target": row.target}


def processor():
    names = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return names[0] if names else platform.processor()


def context(options):
    from importlib.metadata import version
    return {"processor": processor(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
            "threads": options.threads, "heads": options.heads, "time": options.time, "value_dim": options.value_dim,
            "rounds": options.rounds, "load_average": os.getloadavg()[0],
            **{name: version(name) for name in ("torch", "ggml-python", "numpy")}}


def print_table(results):
    print("| peer | ns a token-head | linattn, ns | ratio (quartiles) | target | error | what |")
    print("|---|---|---|---|---|---|---|")
    for row in results:
        low, high = row["ratio_quartiles"]
        if row["target"] is None:
            target = ""
        else:
            target = f">= {row['target']:g}: {'met' if row['ratio'] >= row['target'] else 'missed'}"
        print(f"| {row['name']} | {row['ns_per_token_head']:.0f} | {row['linattn_ns_per_token_head']:.0f} "
              f"| {row['ratio']:.2f} ({low:.2f} to {high:.2f}) | {target} | {row['error']:.1e} | {row['note']} |")


def main():
    options = parsed_options()
    set_threads(options.threads)
    from problem import answers, make_problem, relative_error
    folder = pathlib.Path(__file__).resolve().parents[2] / "build" / "peers" / "lib"
    problem = make_problem(options.heads, options.time, options.value_dim)
    expected = answers(problem)
    ours, peers = all_rows(folder, problem, options.threads)
    errors = errors_of([*ours.values(), *peers], expected, relative_error)
    right = {name for name, error in errors.items() if error <= ACCEPTED_ERROR}
    if any(row.name not in right for row in ours.values()):
        return 1
    rows = [row for row in peers if row.name in right]
    clock = time.process_time if options.threads == 1 else time.perf_counter
    pairs = measure(ours, rows, clock, options.rounds)
    token_heads = options.heads * options.time
    results = [summary(row, errors[row.name], pairs[row.name], token_heads) for row in rows]
    about = context(options)
    print(f"{about['threads']} thread(s), {about['processor']}, {about['date']}, load {about['load_average']:.1f}; "
          f"H = {options.heads}, T = {options.time}, V = {options.value_dim}; {options.rounds} rounds\n")
    print_table(results)
    if options.json:
        refused = sorted(errors.keys() - right)
        options.json.write_text(json.dumps({"context": about, "rows": results, "refused": refused}, indent=1) + "\n")
    return 0 if len(right) == len(errors) else 1


if __name__ == "__main__":
    sys.exit(main())
