#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Write what scripts/gpu.sh found: gpu_report.py --results build/gpu/results --output docs/gpu

Prints the table, and writes it with the tests' outcomes to <date>-<device>.md, with all numbers to .json. What was not
run is said to be not run.
"""
import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys

STEPS = ("primitives", "tests", "gradients", "sanitize")


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")] if path.exists() else []


def outcomes(results, step):
    """[(name, outcome, seconds)] of a step; sanitize may have been run one tool at a time."""
    rows = []
    for path in sorted(results.glob(f"{step}*.tsv")):
        rows += [tuple(line.split("\t")) for line in path.read_text().splitlines()]
    return rows


def summary(rows):
    if not rows:
        return "not run"
    counts = {}
    for _, outcome, _ in rows:
        counts[outcome] = counts.get(outcome, 0) + 1
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def time_table(rows):
    """A row a measurement, and how many times the time of linattn it took at the same map (softmax: Based at d = 64),
    head_dim and shape."""
    def key(row, feature_map=None):
        return (feature_map or row["map"], row["head_dim"], row["batch"], row["heads"], row["time"])

    own = {key(row): row["ms"] for row in rows if row["by"] == "linattn" and "ms" in row}
    with_forward = any("times_forward" in row for row in rows)
    head = ["B x H x T", "map, head_dim", "by", "ms", "ns a token-head", "times linattn", "share of the roof"]
    head += ["times its forward", "workspace, MB"] if with_forward else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in sorted(rows, key=lambda row: (row["batch"], row["heads"], row["time"], row["head_dim"], row["map"],
                                             row["by"] != "linattn", row["by"])):
        base = own.get(key(row, "taylor" if row["map"] == "softmax" else None))
        cells = [f"{row['batch']} x {row['heads']} x {row['time']}", f"{row['map']}, {row['head_dim']}", row["by"]]
        if "ms" in row:
            cells += [f"{row['ms']:.3f}", f"{row['ns_token_head']:.3f}", f"{row['ms'] / base:.2f}" if base else "",
                      f"{row['roof_share']:.0%}" if "roof_share" in row else ""]
            if with_forward:
                cells += [f"{row['times_forward']:.2f}" if "times_forward" in row else "",
                          f"{row['workspace_bytes'] / 1e6:.1f}" if "workspace_bytes" in row else ""]
        else:
            cells += [row.get("failed", "failed")] + [""] * (len(head) - 4)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def decode_table(rows):
    """A row a map and a number of heads."""
    lines = ["| B x H | map, head_dim | us a step | states, MB | GB/s | share of the copy |", "|" + "---|" * 6]
    for row in rows:
        cells = [f"{row['batch']} x {row['heads']}", f"{row['map']}, {row['head_dim']}"]
        cells += [row["failed"], "", "", ""] if "failed" in row else [
            f"{1e3 * row['ms']:.1f}", f"{row['state_bytes'] / 1e6:.1f}", f"{row['bytes_s'] / 1e9:.0f}",
            f"{row['copy_share']:.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def tuning_table(rows):
    """A row a map and shape, a column a length of pieces: milliseconds of forward, and of forward with backward."""
    tokens = sorted({row["tokens"] for row in rows if row["number"] != "parallel"})
    head = ["B x H x T", "map, head_dim", *map(str, tokens), "parallel"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    cases = {}
    for row in rows:
        case = (f"{row['batch']} x {row['heads']} x {row['time']}", f"{row['map']}, {row['head_dim']}")
        column = "parallel" if row["number"] == "parallel" else row["tokens"]
        cases.setdefault(case, {})[column] = (
            f"{row['forward_ms']:.3f} / {row['ms']:.3f}" if "ms" in row else row.get("failed", "failed"))
    for case, cells in cases.items():
        lines.append("| " + " | ".join([*case, *(cells.get(column, "") for column in [*tokens, "parallel"])]) + " |")
    return lines


TABLES = {
    "forward": "Forward, bf16, value_dim 64, medians of CUDA events, inputs from memory. The roof: each tensor once at "
               "the copy's rate, or the state's products at the rate of mma.sync, whichever takes longer.",
    "training": "Forward and backward together, the same way; backward reads what forward saved. The workspace is "
                "backward's.",
}


def check_table(rows):
    lines = ["| by | map | d | output | gradients | |", "|---|---|---|---|---|---|"]
    for row in rows:
        found = (f"{row['output']:.1e} | {row['gradients']:.1e}" if "output" in row else "| ")
        lines.append(f"| {row['by']} | {row['map']} | {row['head_dim']} | {found} | "
                     f"{row.get('wrong', row.get('failed', ''))} |")
    return lines


def markdown(date, commit, device, times, steps, tuning):
    lines = [f"# linattn on {device.get('name', 'an unknown device')}, {date}", "",
             f"Written by scripts/gpu.sh at commit {commit}; the numbers are in the .json beside this file.", ""]
    if "copy_bytes_s" in device:
        lines += [f"Measured ceilings: copy {device['copy_bytes_s'] / 1e9:.0f} GB/s (read and written), mma.sync in "
                  f"bf16 {device['mma_sync_bf16_flop_s'] / 1e12:.0f} Tflop/s.", ""]
    lines += ["| step | outcome |", "|---|---|"]
    lines += [f"| {step} | {summary(rows)} |" for step, rows in steps.items()]
    wrong = [row for rows in steps.values() for row in rows if row[1] in ("FAILED", "not finished")]
    lines += ["", *(f"- {name}: {outcome} after {seconds} s" for name, outcome, seconds in wrong)]
    for what, text in TABLES.items():
        rows = [row for row in times if row["what"] == what]
        lines += ["", text, ""] + time_table(rows) if rows else ["", f"No times of {what}: the step bench was not run."]
    checks = [row for row in times if row["what"] == "check"]
    if checks:
        lines += ["", "The neighbours' answers beside their definitions in double: relative L2 errors of the output, "
                  "of the worst gradient. Who is wrong is not timed.", ""] + check_table(checks)
    decode = [row for row in times if row["what"] == "decode"]
    if decode:
        lines += ["", "Decoding: step, one token a sequence, value_dim 64, bf16 tensors. Bytes are those of the states, "
                  "read and written; small states may stay in L2.", ""] + decode_table(decode)
    if tuning:
        lines += ["", "Pieces of other lengths (segment_tokens where a map is fused, chunk_tokens in phases), and the "
                  "parallel form: milliseconds of forward / of forward with backward.", ""] + tuning_table(tuning)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Write the report of a run on a GPU.")
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    lines = json_lines(options.results / "linattn.jsonl")
    device = next((line for line in lines if line["what"] == "device"), {})
    times = [line for line in lines if line["what"] != "device"] + json_lines(options.results / "peers.jsonl")
    tuning = [line for line in json_lines(options.results / "tuning.jsonl") if line["what"] == "tuning"]
    steps = {step: outcomes(options.results, step) for step in STEPS}
    if not device and not any(steps.values()):
        sys.exit(f"gpu_report.py: nothing was run: {options.results} holds no results")
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    commit = found.stdout.strip() or "unknown"
    date = datetime.date.today().isoformat()
    text = markdown(date, commit, device, times, steps, tuning)
    name = re.sub(r"\W+", "-", device.get("name", "unknown")).strip("-").lower()
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{date}-{name}.md").write_text(text)
    (options.output / f"{date}-{name}.json").write_text(json.dumps(
        {"date": date, "commit": commit, "device": device, "steps": steps, "times": times,
         "tuning": tuning}, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
