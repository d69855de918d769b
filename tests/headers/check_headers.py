#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile each public header alone, in a translation unit of its own.

check_headers.py --compiler g++ --include DIR --work DIR [--only HEADER...] [--skip FOLDER] [--group FOLDER...]
                 [-- FLAG...]

The TU defines macros that C and system headers define (I, B0, small), then includes the header twice: a header must be
complete by itself, guarded, and free of those names. One more TU holds all headers after function-like min and max, as
<windows.h> defines them. --group puts the headers of a folder into one TU: for a slow compiler, where another has shown
that each is complete. A .cuh is compiled where the suffix is .cu. Exit code 77 (skipped) when the compiler is not on
this machine.
"""
import argparse
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
HOSTILE_NAMES = "#define I 1\n#define B0 1\n#define small char\n"
HOSTILE_FUNCTIONS = ("#define min(a, b) (((a) < (b)) ? (a) : (b))\n"
                     "#define max(a, b) (((a) > (b)) ? (a) : (b))\n")
MAIN = "int main() { return 0; }\n"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"][^>"]+[>"])', re.MULTILINE)


def headers_under(include, suffix=".cpp"):
    wanted = {".hpp", ".cuh"} if suffix == ".cu" else {".hpp"}
    return sorted(str(path.relative_to(include)) for path in (include / "linattn").rglob("*") if path.suffix in wanted)


def foreign_includes(include):
    """What the headers include besides each other, with the guarding of the header that does it ignored."""
    found = set()
    for header in headers_under(include):
        found |= {name for name in INCLUDE.findall((include / header).read_text()) if "linattn/" not in name}
    return sorted(found)


def twice(headers):
    return HOSTILE_NAMES + "".join(f"#include <{header}>\n#include <{header}>\n" for header in headers) + MAIN


def all_after_min_max(include, suffix):
    # The standard headers do not survive these macros themselves, so they go first, where they exist.
    text = "".join(f"#if __has_include({name})\n#include {name}\n#endif\n" for name in foreign_includes(include))
    # CUB and Thrust lie outside linattn/: like the standard headers, they are not written for these macros.
    headers = [header for header in headers_under(include, suffix) if header.endswith(".hpp")]
    return text + HOSTILE_FUNCTIONS + "".join(f"#include <{header}>\n" for header in headers) + MAIN


def check(compiler, include, work, flags, only=(), skip=None, group=(), jobs=2, suffix=".cpp"):
    """Compiles every TU; returns [(name, compiler output)] of those that failed."""
    headers = list(only) or headers_under(include, suffix)
    if skip:
        headers = [header for header in headers if not header.startswith(f"linattn/{skip}/")]
    if not headers:
        raise SystemExit(f"check_headers.py: no header under {include}/linattn")
    units = []
    for folder in group:
        members = [header for header in headers if header.startswith(f"linattn/{folder}/") and header.endswith(".hpp")]
        headers = [header for header in headers if header not in members]
        if members:
            units.append((f"linattn/{folder}", twice(members)))
    units += [(header, twice([header])) for header in headers]
    if not only:
        units.append(("all after min() and max()", all_after_min_max(include, suffix)))
    work.mkdir(parents=True, exist_ok=True)

    def compile_unit(unit):
        name, text = unit
        source = work / (re.sub(r"\W", "_", name) + suffix)
        source.write_text(text)
        result = subprocess.run([compiler, *flags, f"-I{include}", str(source)], cwd=work, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return name, result.returncode, result.stdout

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(compile_unit, units))
    print(f"{len(units)} translation units with {compiler} {' '.join(flags)}")
    return [(name, output) for name, code, output in results if code != 0]


def self_test(compiler, flags, suffix):
    """Each planted defect must be reported, and the sound header must not."""
    defects = {
        "sound": ("", "template <class T> constexpr T twice(T small_value) { return T(2) * small_value; }"),
        "unguarded": (None, "struct unguarded {};"),
        "incomplete": ("", "inline std::string name();"),
        "takes_I": ("", "template <int I> struct index {};"),
        "takes_small": ("", "inline int small = 1;"),
        "warns": ("", "inline int ignore(int unused) { return 0; }"),
        "shadows": ("", "inline int outer(int x) { { int x = 2; return x; } }"),
        "calls_max": ("", "#include <limits>\ninline int const big = std::numeric_limits<int>::max(); "
                          "inline int larger() { return std::max(1, big); }"),
    }
    with tempfile.TemporaryDirectory() as folder:
        include = pathlib.Path(folder) / "include"
        (include / "linattn").mkdir(parents=True)
        for name, (guard, body) in defects.items():
            text = body + "\n" if guard is None else f"#ifndef G_{name}\n#define G_{name}\n{body}\n#endif\n"
            (include / "linattn" / f"{name}.hpp").write_text(text)
        failed = {name for name, _ in check(compiler, include, pathlib.Path(folder) / "work", flags, suffix=suffix)}
        expected = {f"linattn/{name}.hpp" for name in defects if name not in ("sound", "calls_max")}
        expected.add("all after min() and max()")
        # calls_max.hpp lacks <algorithm>, which some standard libraries bring along: it may fail alone as well.
        failed.discard("linattn/calls_max.hpp")
        if failed != expected:
            sys.exit(f"self-test: reported {sorted(failed)}, expected {sorted(expected)}")
        # The TU of all headers must fail for min and max, not only because the planted defects are in it too.
        for name in set(defects) - {"sound"}:
            (include / "linattn" / f"{name}.hpp").unlink()
        if check(compiler, include, pathlib.Path(folder) / "work", flags, suffix=suffix):
            sys.exit("self-test: the sound header was reported")
        (include / "linattn" / "calls_max.hpp").write_text(
            "#ifndef G\n#define G\n#include <algorithm>\ninline int larger() { return std::max(1, 2); }\n#endif\n")
        failed = [name for name, _ in check(compiler, include, pathlib.Path(folder) / "work", flags, suffix=suffix)]
        if failed != ["all after min() and max()"]:
            sys.exit(f"self-test: an unparenthesised std::max was reported as {failed}")
        # A group must fail for one member's defect.
        (include / "linattn" / "calls_max.hpp").unlink()
        (include / "linattn" / "inner").mkdir()
        for name, body in (("a", "struct unguarded {};\n"), ("b", "#ifndef G\n#define G\n#endif\n")):
            (include / "linattn" / "inner" / f"{name}.hpp").write_text(body)
        failed = [name for name, _ in check(compiler, include, pathlib.Path(folder) / "work", flags, group=["inner"],
                                            suffix=suffix)]
        if failed != ["linattn/inner"]:
            sys.exit(f"self-test: an unguarded header in a group was reported as {failed}")
    print("self-test passed: every planted defect was reported")


def main():
    argv = sys.argv[1:]
    flags = []
    if "--" in argv:
        flags = argv[argv.index("--") + 1:]
        argv = argv[:argv.index("--")]
    parser = argparse.ArgumentParser(description="Compile each public header alone.")
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--include", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", default=[], help="these headers instead of all")
    parser.add_argument("--skip", metavar="FOLDER", help="no TU of their own for the headers of this folder")
    parser.add_argument("--group", nargs="*", default=[], metavar="FOLDER", help="one TU for the .hpp of a folder")
    parser.add_argument("--suffix", default=".cpp", help=".cu for nvcc")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args(argv)

    if not shutil.which(options.compiler):
        print(f"skipped: {options.compiler} is not on this machine")
        sys.exit(SKIPPED)
    if options.self_test:
        self_test(options.compiler, flags, options.suffix)
        return
    failures = check(options.compiler, options.include.resolve(), options.work, flags, options.only, options.skip,
                     options.group, options.jobs, options.suffix)
    for name, output in failures:
        print(f"\n--- {name} ---\n{output}")
    sys.exit(f"{len(failures)} translation units failed: {', '.join(n for n, _ in failures)}" if failures else 0)


if __name__ == "__main__":
    main()
