#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Write what the benchmarks measured: report.py --results build/report/results --docs docs

report.py --self-test  shows that medians are found, and that wrong answers and bounds that are missed are seen.
Replaces the tables of docs/performance.md, each between `<!-- report: NAME -->` and `<!-- report end -->`, and the
plots in docs/performance/. Prose stays as it is.
"""
import argparse
import json
import pathlib
import re
import tempfile

import plot
import results
import tables

SECTION = re.compile(r"(<!-- report: (\w+) -->\n).*?(<!-- report end -->)", re.DOTALL)


def speed(found):
    series = []
    for colour, d in enumerate((16, 32, 64)):
        for by, dash in (("chunkwise", "none"), ("parallel", "5 4"), ("automatic", "dots")):
            points = sorted((int(case.keys["T"]), case.rate / 1e6) for case in found.all("gcc", "sweep", by=by, d=d))
            series.append((f"{by}, d = {d}", colour, dash, points))
    return plot.lines("Forward, ReBased, V = 64, float, one thread, g++", "T", "million token-heads a second",
                      [one for one in series if one[3]])


def share(found):
    rows = []
    for colour, where in enumerate(tables.NAMES):
        for case in sorted(found.all(where, "head", map="rebased"),
                           key=lambda c: (c.keys["by"], int(c.keys["T"]), int(c.keys["d"]))):
            words = f"{case.keys['by']}, d = {case.keys['d']}, T = {case.keys['T']}, {tables.NAMES[where]}"
            rows.append((words, colour, case["share"]))
    return plot.bars("Share of the multiply-add peak, forward", rows, [(0.74, "chunkwise: 74 %")])


def threads(found):
    series = []
    counts = sorted({int(case.keys["threads"]) for case in found.all("gcc", "threads")})
    for colour, case in enumerate(found.all("gcc", "threads", threads=1)):
        same = {key: value for key, value in case.keys.items() if key != "threads"}
        points = [(n, more.rate / case.rate) for n in counts if (more := found.one("gcc", "threads", threads=n, **same))]
        label = f"{case.keys['by']}, d = {case.keys['d']}, H = {case.keys['H']}, T = {case.keys['T']}"
        series.append((label, colour, "none", points))
    bare = [(n, tables.Report(found).peak_factor(n)) for n in counts]
    series.append(("bare multiply-adds", None, "7 3", [(n, factor) for n, factor in bare if factor]))
    series.append(("as many times as threads", None, "2 3", [(n, float(n)) for n in counts]))
    return plot.lines("Forward on several threads, beside one", "threads", "times as fast", series,
                      y_logarithmic=False, key_width=320)


def self_test():
    def row(name, aggregate, rate, **more):
        return {"name": f"{name}_{aggregate}", "run_name": name, "family_index": 0, "aggregate_name": aggregate,
                "real_time": rate, "cpu_time": rate, "token_heads/s": rate, "share": 0.73, "peak_flop/s": 1e11} | more

    def read(*rows):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "gcc.x.json").write_text(json.dumps({"context": {}, "benchmarks": rows}))
            return results.Results(pathlib.Path(folder))

    short, long = (f"head/by:chunkwise/map:rebased/d:16/T:{time}" for time in (2048, 16384))
    found = read(row(short, "median", 4e6), row(short, "mean", 1.0), row(long, "median", 2e6))
    one, other = (found.one("gcc", "head", T=time) for time in (2048, 16384))
    assert (one.nanoseconds, tables.ratio(one, other)) == (250, 0.5) and found.one("gcc", "head", T=1) is None
    text = "\n".join(tables.Report(found).targets())
    assert "| at least 74% | 73%, **missed** | not measured |" in text and "| 50%, **missed** |" in text, text
    found = read(row(short, "median", 4e6, share=0.75))
    assert "| 75%, met |" in "\n".join(tables.Report(found).targets())
    try:
        read(row(short, "median", 4e6, error_occurred=True, error_message="wrong answer"))
    except SystemExit as refusal:
        assert "wrong answer" in str(refusal)
    else:
        raise AssertionError("a wrong answer was reported")
    print("report.py: medians are found; wrong answers and missed bounds are seen")


def main():
    parser = argparse.ArgumentParser(description="Write docs/performance.md's tables and plots.")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("build/report/results"))
    parser.add_argument("--docs", type=pathlib.Path, default=pathlib.Path("docs"))
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    found = results.Results(options.results)
    report = tables.Report(found)
    sections = {"machine": report.machine, "targets": report.targets, "forward": report.forward,
                "ratios": report.ratios, "training": report.training_table, "decode": report.decode_table,
                "threads": report.threads, "automatic": report.automatic, "compile": report.compile}

    page = options.docs / "performance.md"
    text = page.read_text()
    absent = sections.keys() ^ {name for _, name, _ in SECTION.findall(text)}
    if absent:
        raise SystemExit(f"report.py: {page} and report.py do not have the same sections: {sorted(absent)}")
    drawings = {name: draw(found) for name, draw in (("speed", speed), ("share", share), ("threads", threads))}
    page.write_text(SECTION.sub(lambda m: m[1] + "\n".join(sections[m[2]]()) + "\n" + m[3], text))
    folder = options.docs / "performance"
    folder.mkdir(exist_ok=True)
    for name, drawing in drawings.items():
        (folder / f"{name}.svg").write_text(drawing)
    print(f"wrote {page} and {folder}/*.svg")


if __name__ == "__main__":
    main()
