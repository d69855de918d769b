#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compare what the CPU engine's hot loops execute with tests/static/instructions.json. No clock is read.

check_instructions.py --compiler g++ --include DIR           prints a table; exit code 1 if a count is off
check_instructions.py --compiler g++ --include DIR --update  writes this compiler's counts anew, after a meant change
check_instructions.py --self-test                            shows that each kind of finding is made

hot_loops.cpp is compiled for AVX2 (-O3 -march=haswell) and run under `valgrind --tool=callgrind`. Counts belong to one
version of one compiler. With another version only what holds for every compiler is checked (the products are fused
multiply-adds), and the exit code is then 77 (skipped), as it is without valgrind, objdump, nm or the compiler.
"""
import argparse
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
RECORDS = HERE / "instructions.json"
WITHIN = 0.03   # of the recorded count, more or fewer
FUSED = 0.7      # of the useful flop, at least, in fused multiply-adds of whole vectors (a first chunk reads no state)
LANES = 8       # floats in a ymm register
FLAGS = ("-std=c++20", "-O3", "-DNDEBUG", "-march=haswell", "-no-pie", "-pthread")
COUNTS = ("instructions", "fused")
PACKED_FMA = re.compile(r"^\s*([0-9a-f]+):\s+vfn?m(?:add|sub)\d+ps\s.*%ymm", re.MULTILINE)


def run(*command):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"check_instructions.py: {command[0]} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def version_of(compiler):
    """As instructions.json spells it: `g++ 12.2.0`, `clang++ 14.0.6`."""
    text = run(compiler, "--version")
    name = "clang++" if "clang" in text else "g++"
    number = re.search(r"clang version (\d+\.\d+\.\d+)", text)[1] if name == "clang++" else run(
        compiler, "-dumpfullversion").strip()
    return f"{name} {number}"


def parse(part, fused_at):
    """(case, counts) of one callgrind file: what ran between entering and leaving the case's function."""
    text = part.read_text()
    trigger = re.search(r"^desc: Trigger: --dump-after=(\S+)", text, re.MULTILINE)
    if not trigger:
        return None
    instructions = int(re.search(r"^summary: (\d+)", text, re.MULTILINE)[1])
    fused = 0
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("calls="):
            next(lines)   # what the callee cost in all, not this instruction
        elif line.startswith("0x"):
            address, _, cost = line.split()[:3]
            fused += int(cost) if int(address, 16) in fused_at else 0
    return trigger[1], {"instructions": instructions, "fused": fused}


def measure(compiler, include):
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/hot_loops"
        print(run(compiler, *FLAGS, f"-I{include}", str(HERE / "hot_loops.cpp"), "-o", program), end="")
        names = sorted(set(re.findall(r" T (case_\w+)", run("nm", program))))
        fused_at = {int(address, 16) for address in PACKED_FMA.findall(
            run("objdump", "-d", "--no-show-raw-insn", program))}
        text = run("env", "LD_BIND_NOW=1", "valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
                   "--dump-instr=yes", "--compress-strings=no", "--compress-pos=no", "--collect-atstart=no",
                   "--toggle-collect=case_*", *(f"--dump-after={name}" for name in names), program)
        flop = {name: float(number) for name, number in re.findall(r"^(case_\w+) (\d+)$", text, re.MULTILINE)}
        parts = [parse(part, fused_at) for part in sorted(pathlib.Path(folder).glob("out.*"))]
        cases = {name: counts | {"flop": flop[name]} for name, counts in filter(None, parts)}
    if cases.keys() != set(names) or not names:
        sys.exit(f"check_instructions.py: callgrind reported {sorted(cases)} of the cases {names}")
    return {"vfmadd": len(fused_at), "cases": cases}


def findings(recorded, measured):
    """What is off, as sentences. `recorded` is None for a version of a compiler that has no record."""
    for name, case in measured["cases"].items():
        share = 2 * LANES * case["fused"] / case["flop"]
        if share < FUSED:
            yield (f"{name}: fused multiply-adds of whole vectors do {share:.0%} of the useful flop; {FUSED:.0%} "
                   "are expected of any compiler: are products contracted, and vectors as wide as a register?")
    if recorded is None:
        return
    for name in sorted(recorded["cases"].keys() ^ measured["cases"].keys()):
        yield f"{name}: is in the record or in hot_loops.cpp, not in both; --update if that is meant"
    for name in sorted(recorded["cases"].keys() & measured["cases"].keys()):
        for count in COUNTS:
            yield from off(f"{name}: {count}", recorded["cases"][name][count], measured["cases"][name][count])
    yield from off("vfmadd in the object code", recorded["vfmadd"], measured["vfmadd"])


def off(what, expected, got):
    if abs(got - expected) > WITHIN * expected:
        yield (f"{what}: {got}, recorded {expected} ({got / expected - 1:+.1%}, {WITHIN:.0%} allowed); "
               "--update if that is meant")


def print_table(version, recorded, measured):
    print(f"{version}: {measured['vfmadd']} vfmadd in the object code"
          + (f", recorded {recorded['vfmadd']}" if recorded else ""))
    print(f"{'case':<28}{'instructions':>14}{'recorded':>12}{'fused':>12}{'recorded':>12}{'an instruction':>16}")
    for name, case in measured["cases"].items():
        was = recorded["cases"].get(name, {}) if recorded else {}
        print(f"{name:<28}{case['instructions']:>14}{was.get('instructions', '-'):>12}{case['fused']:>12}"
              f"{was.get('fused', '-'):>12}{case['flop'] / case['instructions']:>11.2f} flop")


def self_test():
    case = {"instructions": 1000, "fused": 1000, "flop": 16000.0}
    sound = {"vfmadd": 100, "cases": {"a": case}}

    def broken(vfmadd=100, **changes):
        return {"vfmadd": vfmadd, "cases": {"a": case | changes}}

    assert not list(findings(sound, sound)) and not list(findings(None, sound))
    for wrong, words in ((broken(instructions=1031), "instructions: 1031"), (broken(instructions=969), "instructions"),
                         (broken(fused=969), "fused: 969"), (broken(fused=690), "useful flop"),
                         (broken(vfmadd=96), "vfmadd"), ({"vfmadd": 100, "cases": {}}, "not in both")):
        assert any(words in finding for finding in findings(sound, wrong)), (wrong, words)
    assert not list(findings(sound, broken(instructions=1030, fused=1030)))
    assert list(findings(None, broken(fused=690))) and not list(findings(None, broken(instructions=5000)))
    print("check_instructions.py: every kind of finding is made")


def main():
    parser = argparse.ArgumentParser(description="Hold the CPU engine's hot loops to recorded instruction counts.")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--include", type=pathlib.Path, default=HERE.parent.parent / "include")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    missing = [tool for tool in (options.compiler, "valgrind", "objdump", "nm") if not shutil.which(tool)]
    if missing or platform.machine() != "x86_64":
        print(f"skipped: {'no ' + ', '.join(missing) if missing else 'counts are those of x86-64'}; "
              "scripts/setup.sh test installs the tools")
        return SKIPPED
    version = version_of(options.compiler)
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    recorded = records.get(version)
    measured = measure(options.compiler, options.include)
    print_table(version, recorded, measured)
    if options.update:
        records[version] = measured
        RECORDS.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
        recorded = measured
    wrong = list(findings(recorded, measured))
    print("\n".join(wrong) if wrong else "as recorded" if recorded else "")
    if wrong:
        return 1
    if not recorded:
        print(f"SKIPPED: THERE IS NO RECORD FOR {version}; {RECORDS.name} has {', '.join(sorted(records)) or 'none'}. "
              "Only the share of fused multiply-adds was checked. --update records this version.")
        return SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
