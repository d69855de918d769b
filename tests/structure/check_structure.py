#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Check the rules that hold the tree together: include layers, guards, licence lines, sizes.

check_structure.py ROOT        prints one line a finding; exit code 1 if there is any
check_structure.py --self-test plants each defect in a small tree and checks that it is found
"""
import pathlib
import re
import sys
import tempfile

# Layer of each unit of include/linattn: a top-level header, or a folder. An include may only point down, or stay
# inside its unit; at one layer it may cross units only where PEERS says so.
LAYERS = {
    "core": 0, "simt": 0, "version.hpp": 0,
    "feature": 1, "normalizer": 1, "strategy": 1,
    "attention.hpp": 2, "state.hpp": 2, "state_io.hpp": 2, "state_order.hpp": 2, "validate.hpp": 2, "tuning": 2,
    "cpu": 3, "cuda": 3,
    "forward.hpp": 4, "step.hpp": 4, "backward.hpp": 4, "dispatch.hpp": 4, "workspace.hpp": 4,
    "linattn.hpp": 5, "presets.hpp": 5, "cuda.cuh": 5,
}
PEERS = {
    ("core", "version.hpp"), ("simt", "core"), ("simt", "version.hpp"),
    ("attention.hpp", "state.hpp"), ("state_io.hpp", "state.hpp"), ("state_order.hpp", "state.hpp"),
    ("validate.hpp", "attention.hpp"), ("validate.hpp", "state.hpp"), ("cuda.cuh", "linattn.hpp"),
    ("linattn.hpp", "presets.hpp"),
}
# The verbs know core/engine.hpp and never a backend, although the backends lie below them.
FORBIDDEN = {(verb, backend) for verb in ("forward.hpp", "step.hpp", "backward.hpp", "dispatch.hpp", "workspace.hpp")
             for backend in ("cpu", "cuda", "simt")}
# Headers of feature/ that define no map: what all maps share.
MAP_BASES = {"packed_features.hpp", "rotation_octets.hpp", "polynomial.hpp", "elementwise.hpp", "laws.hpp",
             "law_support.hpp"}
MAX_LINES = 400
SPDX = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"
CUDA_TOKENS = re.compile(r"\b(threadIdx|blockIdx|blockDim|gridDim|__syncthreads|__syncwarp|__shfl\w*|__shared__)\b"
                         r"|<<<")
ASSEMBLY = re.compile(r"\basm\b")   # where a backend needs it
ASSEMBLY_HOMES = ("simt/", "cpu/bf16_pairs.hpp", "cpu/f16_vectors.hpp")
LAUNCH_TOKENS = re.compile(r"\b(__global__|__launch_bounds__)\b|<<<")   # in simt/, these are in one file
LAUNCHER = "simt/launch.hpp"
# Device libraries cost every user seconds a translation unit, and g++ cannot read most of them: one seam has them.
DEVICE_LIBRARIES = re.compile(r"(cub|thrust|cuda/std|cooperative_groups|cuda_(fp16|bf16|fp8|pipeline\w*))(/|\.|$)")
DEVICE_SEAM = "cuda/device_ops.cuh"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
SOURCES = {".hpp", ".cuh", ".cpp", ".cu", ".py", ".sh", ".cmake", ".in", ".inc"}
SOURCE_FOLDERS = ("include", "tests", "benchmarks", "examples", "cmake", "scripts")


def code_of(text):
    """The text without comments and string literals (except the names that #include lines quote)."""
    return NOT_CODE.sub(lambda match: "\n" * match[0].count("\n"), text)


def unit_of(path):
    return path.split("/")[0]


def concrete_maps(include):
    headers = {path.name for path in (include / "feature").glob("*.hpp")} - MAP_BASES
    return headers, {header[:-len(".hpp")] for header in headers}


def include_findings(name, text):
    unit = unit_of(name)
    for bracket, target in INCLUDE.findall(text):
        if DEVICE_LIBRARIES.match(target) and name != DEVICE_SEAM:
            yield f"includes {target}; CUB, Thrust and their like stay behind {DEVICE_SEAM}"
        elif target.endswith(".cuh") and not name.endswith(".cuh"):
            yield f"includes {target}: a .hpp compiles without nvcc, a .cuh does not"
        if not target.startswith("linattn/"):
            if bracket == '"':
                yield f'includes "{target}"; write <linattn/...>, or <...> for the standard library'
            continue
        target = target[len("linattn/"):]
        other = unit_of(target)
        if other not in LAYERS:
            yield f"includes {target}, which has no layer"
        elif unit == other:
            continue
        elif LAYERS[other] > LAYERS[unit]:
            yield f"includes {target}: layer {LAYERS[unit]} must not know layer {LAYERS[other]}"
        elif LAYERS[other] == LAYERS[unit] and (unit, other) not in PEERS:
            yield f"includes {target}: {unit} and {other} are siblings"
        elif (unit, other) in FORBIDDEN:
            yield f"includes {target}: the verbs never know a backend"


def header_findings(name, text, maps):
    map_headers, map_names = maps
    unit = unit_of(name)
    if unit not in LAYERS:
        yield f"has no layer; give {unit} one in tests/structure/check_structure.py"
        return
    yield from include_findings(name, text)
    code = code_of(text)
    if 2 <= LAYERS[unit] <= 4:
        for _, target in INCLUDE.findall(text):
            if target.startswith("linattn/feature/") and target.split("/")[-1] in map_headers:
                yield f"includes {target}: layers 2 to 4 know no concrete map"
        for word in sorted(map_names & set(re.findall(r"\w+", INCLUDE.sub("", code)))):
            yield f"names the map {word}: layers 2 to 4 know no concrete map"
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"has {lines} lines; {MAX_LINES} at most"
    if re.search(r"#\s*pragma\s+once", code):
        yield "has #pragma once; use an include guard (the single header meets the modular ones)"
    if re.search(r"\busing\s+namespace\b", code):
        yield "has a using-directive, which every user would get"
    defines = DEFINE.findall(code)
    guard = re.search(r"^#ifndef (\w+)\n#define (\w+)$", code, re.MULTILINE)
    expected = "LINATTN_" + re.sub(r"\W", "_", name).upper()
    if not guard or guard[1] != guard[2] or guard[1] != expected:
        yield f"needs the include guard {expected}"
    for macro in defines:
        if not macro.startswith("LINATTN_"):
            yield f"defines the macro {macro}; macros start with LINATTN_"
    if unit != "simt":
        token = CUDA_TOKENS.search(code)
        if token:
            yield f"uses {token[0]}: raw CUDA stays in simt/"
    if not name.startswith(ASSEMBLY_HOMES) and ASSEMBLY.search(code):
        yield f"uses asm: assembly stays in {' and '.join(ASSEMBLY_HOMES)}"
    if name != LAUNCHER:
        token = LAUNCH_TOKENS.search(code)
        if token and (unit == "simt" or token[0] != "<<<"):
            yield f"uses {token[0]}: kernels are declared and launched in {LAUNCHER} alone"


def spdx_findings(path, text):
    lines = text.split("\n")
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    if SPDX not in first:
        yield f"must begin with the line {SPDX}"


def check(root):
    """All findings under `root`, as `path: finding`."""
    findings = []
    include = root / "include" / "linattn"
    maps = concrete_maps(include)
    headers = sorted(path for path in include.rglob("*") if path.suffix in (".hpp", ".cuh"))
    if not headers:
        return [f"{include}: holds no header"]
    for path in headers:
        name = path.relative_to(include).as_posix()
        findings += [f"include/linattn/{name}: {found}" for found in header_findings(name, path.read_text(), maps)]
    files = [path for folder in SOURCE_FOLDERS for path in sorted((root / folder).rglob("*"))
             if path.is_file() and (path.suffix in SOURCES or path.name == "CMakeLists.txt")]
    for path in [root / "CMakeLists.txt", *files]:
        if path.is_file():
            findings += [f"{path.relative_to(root)}: {found}" for found in spdx_findings(path, path.read_text())]
    return findings


def self_test():
    def header(name, body, spdx=True):
        guard = "LINATTN_" + re.sub(r"\W", "_", name).upper()
        line = f"// {SPDX}\n" if spdx else "// none\n"
        return f"{line}#ifndef {guard}\n#define {guard}\n{body}\n#endif  // {guard}\n"

    sound = {
        "version.hpp": "#define LINATTN_VERSION_MAJOR 0",
        "core/config.hpp": "#include <linattn/version.hpp>\n#include <type_traits>\n// threadIdx in a comment",
        "feature/polynomial.hpp": "#include <linattn/core/config.hpp>",
        "feature/taylor.hpp": "#include <linattn/feature/polynomial.hpp>\nstruct taylor {};",
        "normalizer/sum.hpp": "#include <linattn/core/config.hpp>",
        "attention.hpp": "#include <linattn/feature/polynomial.hpp>\n// taylor is only mentioned here",
        "cpu/executor.hpp": "#include <linattn/attention.hpp>",
        "forward.hpp": "#include <linattn/attention.hpp>",
        "simt/launch.hpp": "template <class K> __global__ void entry(); inline void f() { entry<int><<<1, 2>>>(); }",
        "simt/types.hpp": "inline int f() { return threadIdx.x; }",
        "cuda/device_ops.cuh": "#include <cub/device/device_reduce.cuh>",
        "linattn.hpp": "#include <linattn/forward.hpp>\n#include <linattn/feature/taylor.hpp>\n"
                       "#include <linattn/cpu/executor.hpp>",
    }
    defects = {   # header -> (body, part of the expected finding)
        "core/up.hpp": ("#include <linattn/attention.hpp>", "must not know layer"),
        "feature/sideways.hpp": ("#include <linattn/normalizer/sum.hpp>", "are siblings"),
        "cpu/upward.hpp": ("#include <linattn/forward.hpp>", "must not know layer"),
        "cpu/other_backend.hpp": ("#include <linattn/cuda/executor.hpp>", "are siblings"),
        "cpu/knows_map.hpp": ("#include <linattn/feature/taylor.hpp>", "know no concrete map"),
        "cpu/names_map.hpp": ("struct taylor;", "names the map taylor"),
        "state.hpp": ("template <class taylor> struct x;", "names the map taylor"),
        "step.hpp": ("#include <linattn/cpu/executor.hpp>", "never know a backend"),
        "extra.hpp": ("", "has no layer"),
        "core/relative.hpp": ('#include "config.hpp"', "write <linattn/...>"),
        "core/once.hpp": ("#pragma once", "#pragma once"),
        "core/long.hpp": ("\n" * 400, "lines; 400 at most"),
        "core/macro.hpp": ("#define HELPER 1", "macros start with"),
        "core/directive.hpp": ("using namespace std;", "using-directive"),
        "cpu/raw.hpp": ("inline int f() { return threadIdx.x; }", "raw CUDA"),
        "cpu/assembly.hpp": ('inline void f() { asm volatile(""); }', "assembly stays"),
        "simt/second_launch.hpp": ("inline void f() { g<<<1, 2>>>(); }", "declared and launched"),
        "cuda/own_kernel.hpp": ("struct k { __global__ static void f(); };", "declared and launched"),
        "cuda/dear.hpp": ("#include <cub/cub.cuh>", "stay behind"),
        "cuda/groups.cuh": ("#include <cooperative_groups.h>", "stay behind"),
        "cuda/halves.hpp": ("#include <cuda_fp16.h>", "stay behind"),
        "cuda/needs_nvcc.hpp": ("#include <linattn/cuda/device_ops.cuh>", "a .cuh does not"),
        "cpu/launch.hpp": ("inline void f() { g<<<1, 2>>>(); }", "raw CUDA"),
    }
    failures = []

    def findings_of(extra):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            texts = {f"include/linattn/{name}": header(name, body) for name, body in sound.items()} | extra
            for name, text in texts.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check(root)

    def expect(label, extra, part):
        found = findings_of(extra)
        if len(found) != 1 or part not in found[0]:
            failures.append(f"{label}: expected one finding with '{part}', got {found}")

    if findings_of({}):
        failures.append(f"the sound tree gives {findings_of({})}")
    for name, (body, part) in defects.items():
        expect(name, {f"include/linattn/{name}": header(name, body)}, part)
    wrong_guard = header("core/other.hpp", "")
    expect("wrong guard", {"include/linattn/core/guard.hpp": wrong_guard}, "needs the include guard")
    expect("no licence", {"include/linattn/core/free.hpp": header("core/free.hpp", "", spdx=False)}, "must begin with")
    expect("no licence in a script", {"scripts/tool.py": "#!/usr/bin/env python3\nprint()\n"}, "must begin with")
    if failures:
        sys.exit("self-test failed:\n" + "\n".join(failures))
    print(f"self-test passed: {len(defects) + 3} planted defects, each found")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    findings = check(pathlib.Path(sys.argv[1]).resolve())
    print("\n".join(findings) if findings else "the structure holds")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
