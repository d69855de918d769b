#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Check that the documentation's code is compiled code and that its links lead somewhere.

check_docs.py ROOT         prints one line a finding; exit code 1 if there is any
check_docs.py --self-test  plants each defect in a small tree and checks that it is found

A C++ block of docs/*.md comes after a line `<!-- from: PATH -->` and stands in that file, line by line; indentation may
differ, and a line `...` skips lines. (The README's blocks are marked `<!-- tested: NAME -->`: tests/consumer runs them.)
Relative links, and the docs/*.md#section that headers name, must exist.
"""
import pathlib
import re
import sys
import tempfile

BLOCK = re.compile(r"(?:^<!-- (from|tested): (\S+) -->\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"docs/[\w.]+\.md(?:#[\w-]+)?")
SOURCES = (".hpp", ".cuh", ".cpp", ".py", ".md", ".txt", ".cmake")


def anchors(text):
    """The names that a heading can be linked by."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def quoted(block, source):
    """Whether the parts of `block` between `...` lines occur in `source` in this order."""
    begin = 0
    part = []
    for line in lines_of(block) + ["..."]:
        if line != "...":
            part.append(line)
            continue
        found = next((i for i in range(begin, len(source) - len(part) + 1) if source[i:i + len(part)] == part), None)
        if found is None:
            return False
        begin, part = found + len(part), []
    return True


def block_findings(root, text, needs_origin):
    for kind, origin, language, block in BLOCK.findall(text):
        first = lines_of(block)[:1]
        if not kind:
            if needs_origin and language in ("cpp", "c++"):
                yield f"a C++ block without an origin: {first}"
        elif kind == "from":
            if not (root / origin).is_file():
                yield f"quotes {origin}, which does not exist"
            elif not quoted(block, lines_of((root / origin).read_text())):
                yield f"a block is not in {origin} as it is written: {first}"


def target_finding(root, folder, target):
    path, _, anchor = target.partition("#")
    file = (folder / path).resolve() if path else None
    if file is not None and not file.exists():
        return f"links to {target}, which does not exist"
    if anchor and file is not None and file.suffix == ".md" and anchor not in anchors(file.read_text()):
        return f"links to {target}: no such section"
    return None


def check(root):
    findings = []
    documents = sorted((root / "docs").glob("*.md"))
    if not documents:
        return [f"{root}/docs: holds no document"]
    for path in [*documents, *sorted(root.glob("*.md"))]:
        text = path.read_text()
        found = list(block_findings(root, text, path.parent.name == "docs"))
        for target in LINK.findall(text):
            if "://" not in target:
                target = path.name + target if target.startswith("#") else target
                found.append(target_finding(root, path.parent, target))
        findings += [f"{path.relative_to(root)}: {finding}" for finding in found if finding]
    for folder in ("include", "examples", "tests", "cmake", "scripts", "benchmarks"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in SOURCES and path.name != "check_docs.py":
                targets = set(REFERENCE.findall(path.read_text()))
                found = [target_finding(root, root, target) for target in sorted(targets)]
                findings += [f"{path.relative_to(root)}: {finding}" for finding in found if finding]
    return findings


def self_test():
    sound = {
        "docs/a.md": "# Title\n\n## Two words\n<!-- from: examples/x.cpp -->\n```cpp\nint a;\n...\n  int c;\n```\n"
                     "```sh\nls\n```\n[here](#two-words) [there](../README.md) [web](https://x.org)\n",
        "README.md": "# Readme\n<!-- tested: b.cpp -->\n```cpp\nint b;\n```\n[docs](docs/a.md#two-words)\n",
        "examples/x.cpp": "int a;\nint b;\nint c;\n",
        "include/x.hpp": "// docs/a.md#two-words\n",
    }
    defects = [
        ("docs/b.md", "# B\n```cpp\nint a;\n```\n", "without an origin"),
        ("docs/b.md", "# B\n<!-- from: examples/x.cpp -->\n```cpp\nint a;\nint c;\n```\n", "not in examples/x.cpp"),
        ("docs/b.md", "# B\n<!-- from: examples/x.cpp -->\n```cpp\nint c;\n...\nint a;\n```\n", "not in examples/x.cpp"),
        ("docs/b.md", "# B\n<!-- from: examples/y.cpp -->\n```cpp\nint a;\n```\n", "does not exist"),
        ("docs/b.md", "# B\n[x](c.md)\n", "does not exist"),
        ("docs/b.md", "# B\n[x](a.md#three)\n", "no such section"),
        ("docs/b.md", "# B\n[x](#c)\n", "no such section"),
        ("include/y.hpp", "// docs/a.md#none\n", "no such section"),
        ("include/y.hpp", "// docs/none.md\n", "does not exist"),
    ]
    for extra in [None, *defects]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            texts = sound if extra is None else sound | {extra[0]: extra[1]}
            for name, text in texts.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            findings = check(root)
            if extra is None and findings:
                sys.exit(f"self-test: the sound tree gives {findings}")
            if extra is not None and (len(findings) != 1 or extra[2] not in findings[0]):
                sys.exit(f"self-test: {extra} gives {findings}")
    print(f"self-test passed: {len(defects)} planted defects, each found")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    findings = check(pathlib.Path(sys.argv[1]).resolve())
    print("\n".join(findings) if findings else "quotes and links hold")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
