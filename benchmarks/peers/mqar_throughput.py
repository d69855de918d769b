# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training steps of ReBased's recall model: examples/mqar through linattn against PyTorch, from the same weights, on
the same examples, with as many threads, in turns. Refuses to time models whose losses part. Wants an idle machine:
PyTorch's threads wait for each other at every operation, and where another program holds a core a step takes them up
to a second. The load that is printed says whether one did.

    benchmarks/peers/setup.sh     # once: PyTorch in a venv
    cmake -S . -B build/mqar -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build build/mqar --target mqar
    build/peers/venv/bin/python benchmarks/peers/mqar_throughput.py build/mqar/examples/mqar/mqar
"""
import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
import torch

from mqar_model import Model, Shape

WARM_UP = 5  # steps of a round that are not timed
RATE = 3e-3
LOSS_TOLERANCE = 2e-3  # relative, after each step: rounding grows with the steps, a wrong gradient is far outside


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mqar", type=pathlib.Path, help="the command, of a Release build")
    parser.add_argument("--T", type=int, default=64, help="tokens of an example (64)")
    parser.add_argument("--K", type=int, default=8, help="keys of an example (8)")
    parser.add_argument("--batch", type=int, default=64, help="examples a step (64)")
    parser.add_argument("--steps", type=int, default=30, help=f"of a round, {WARM_UP} of them untimed (30)")
    parser.add_argument("--rounds", type=int, default=5, help="each times both (5)")
    parser.add_argument("--threads", type=int, default=2, help="of both (2)")
    arguments = parser.parse_args()
    if arguments.steps <= WARM_UP or arguments.rounds < 1 or arguments.threads < 1 or arguments.batch < 1:
        parser.error(f"accepted: --steps above {WARM_UP}, and --rounds, --threads and --batch of at least 1")
    if not arguments.mqar.is_file():
        parser.error(f"{arguments.mqar} is no file; accepted: the mqar of a build")
    arguments.mqar = arguments.mqar.resolve()
    return arguments


def run_linattn(arguments, out):
    """Of each step: the loss, its seconds, and its seconds of CPU on all threads."""
    command = [arguments.mqar, "--mixer", "rebased", "--T", arguments.T, "--K", arguments.K, "--batch", arguments.batch,
               "--lr", RATE, "--steps", 1000000, "--threads", arguments.threads, "--benchmark", arguments.steps,
               "--out", out]
    printed = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(printed.splitlines()))
    return [[float(row[name]) for row in rows] for name in ("loss", "seconds", "cpu_seconds")]


def run_pytorch(arguments, out):
    """The same from the files that run_linattn left. The rate's cosine is so long that it stays where it is."""
    shape = Shape(time=arguments.T, vocabulary=256, width=64, heads=4)
    model = Model(numpy.fromfile(f"{out}.weights", dtype=numpy.float32), shape)
    examples = numpy.fromfile(f"{out}.examples", dtype=numpy.int32)
    batches = torch.from_numpy(examples.astype(numpy.int64)).view(arguments.steps, arguments.batch, 2, arguments.T)
    optimizer = model.optimizer(RATE)
    losses, seconds, cpu_seconds = [], [], []
    for batch in batches:
        start, cpu_start = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(batch[:, 0], batch[:, 1])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    return losses, seconds, cpu_seconds


def check_losses(ours, theirs):
    worst = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
    print(f"losses of {len(ours)} steps: {ours[0]:.4f} to {ours[-1]:.4f}; largest relative difference {worst:.1e}")
    if not worst < LOSS_TOLERANCE:
        raise SystemExit(f"the models differ: {worst:.1e}; accepted: less than {LOSS_TOLERANCE:.0e}")


def median_of_round(seconds):
    return statistics.median(seconds[WARM_UP:])


def report(name, tokens, ours, theirs):
    """A table of one clock, and the ratio of the rounds."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"\n| {name} | ms a step | tokens/s |\n|---|---|---|")
    for row, times in (("linattn", ours), ("PyTorch", theirs)):
        median = statistics.median(times)
        print(f"| {row} | {1e3 * median:.1f} | {tokens / median:,.0f} |")
    print(f"\nratio {statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})")


def main():
    arguments = parse_arguments()
    load, *_ = os.getloadavg()
    torch.set_num_threads(arguments.threads)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        out = str(pathlib.Path(folder) / "mqar")
        for number in range(arguments.rounds):
            our_losses, *our_times = run_linattn(arguments, out)
            their_losses, *their_times = run_pytorch(arguments, out)
            if number == 0:
                check_losses(our_losses, their_losses)
            ours.append([median_of_round(times) for times in our_times])
            theirs.append([median_of_round(times) for times in their_times])
    print(f"ReBased, T = {arguments.T}, batch {arguments.batch}, {arguments.threads} threads, PyTorch "
          f"{torch.__version__}; medians of {arguments.rounds} rounds; load before them {load:.1f}")
    for clock, name in enumerate(("wall clock", "CPU time, all threads")):
        report(name, arguments.batch * arguments.T, [each[clock] for each in ours], [each[clock] for each in theirs])


if __name__ == "__main__":
    main()
