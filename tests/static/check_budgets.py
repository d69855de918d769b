#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compare what the default kernels cost with tests/static/budgets.json.

check_budgets.py --arch sm_90a --include DIR [--nvcc nvcc]            prints a table; exit code 1 if a budget is broken
check_budgets.py --arch sm_80 sm_90a sm_100a --include DIR --update   writes the file anew
check_budgets.py --self-test                                          shows that each kind of finding is made
No GPU is needed. Exit code 77 (skipped) without nvcc.
"""
import argparse
import copy
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import cubin

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
REGISTERS = 8        # more than recorded
INSTRUCTIONS = 0.1   # more or fewer than recorded, relative
ZERO = ("stack", "spills", "local")                    # whatever nvcc compiled it
STRUCTURE = ("HMMA", "LDSM", "LDGSTS", "SHFL", "RED", "ATOMG", "ATOMS")   # what the kernel does: exactly as recorded
RECORDED = ("registers", "instructions", "BAR", *STRUCTURE)
COLUMNS = ("registers", "spills", "local", "instructions", "HMMA", "LDSM", "LDGSTS", "SHFL", "BAR")


def nvcc_release(nvcc):
    text = subprocess.run([nvcc, "--version"], text=True, check=True, stdout=subprocess.PIPE).stdout
    return re.search(r"release (\S+),", text)[1]


def record(kernels):
    return {name: {key: cost[key] for key in RECORDED if cost[key]} | {key: cost[key] for key in ZERO if cost[key]}
            for name, cost in sorted(kernels.items())}


def findings(budgets, kernels, same_release):
    """What is over budget, as sentences. A kernel may use local memory only where the file says how much."""
    for name in sorted(budgets.keys() - kernels.keys()):
        yield f"{name}: has a budget, but is not compiled any more; --update if that is meant"
    for name, cost in sorted(kernels.items()):
        if name not in budgets:
            yield f"{name}: has no budget; --update gives it one"
            continue
        budget = budgets[name]
        for key in ZERO:
            if cost[key] > budget.get(key, 0):
                yield f"{name}: {key} {cost[key]}, {budget.get(key, 0)} allowed"
        if cost["HMMA"] != budget.get("HMMA", 0) and not same_release:
            yield f"{name}: HMMA {cost['HMMA']}, expected {budget.get('HMMA', 0)}"
        if not same_release:
            continue
        if cost["registers"] > budget["registers"] + REGISTERS:
            yield f"{name}: {cost['registers']} registers, {budget['registers']} + {REGISTERS} allowed"
        if abs(cost["instructions"] - budget["instructions"]) > INSTRUCTIONS * budget["instructions"]:
            yield f"{name}: {cost['instructions']} instructions, {budget['instructions']} +- {INSTRUCTIONS:.0%} allowed"
        for key in STRUCTURE:
            if cost[key] != budget.get(key, 0):
                yield f"{name}: {key} {cost[key]}, expected {budget.get(key, 0)}"


def print_table(architecture, budgets, kernels):
    width = max([len(name) for name in kernels] + [6])
    print(f"{architecture:<{width}} " + " ".join(f"{column[:9]:>9}" for column in COLUMNS))
    for name, cost in sorted(kernels.items()):
        cells = []
        for column in COLUMNS:
            budget = budgets.get(name, {}).get(column, 0)
            change = cost[column] - budget if name in budgets else 0
            cells.append(f"{cost[column]}{f'({change:+d})' if change else ''}")
        print(f"{name:<{width}} " + " ".join(f"{cell:>9}" for cell in cells))


def check(options):
    release = nvcc_release(options.nvcc)
    stored = json.loads(options.budgets.read_text()) if options.budgets.exists() else {}
    broken = []
    updated = copy.deepcopy(stored)
    same_release = stored.get("nvcc") == release
    if stored and not same_release:
        print(f"budgets are those of nvcc {stored.get('nvcc')}, this is {release}: only local memory and matrix "
              "instructions are compared")
    for architecture in options.arch:
        kernels = cubin.compile_kernels(options.nvcc, options.source, architecture, options.include)
        budgets = stored.get(architecture, {})
        print_table(architecture, budgets, kernels)
        if options.update:
            updated[architecture] = record(kernels)
        else:
            broken += [f"{architecture} {found}" for found in findings(budgets, kernels, same_release)]
    if options.update:
        updated["nvcc"] = release
        options.budgets.write_text(json.dumps(updated, indent=1, sort_keys=True) + "\n")
        allowed = [f"{arch} {name}" for arch in options.arch for name, cost in updated[arch].items()
                   if any(key in cost for key in ZERO)]
        print("\n".join(["written: " + str(options.budgets), *(f"uses local memory: {name}" for name in allowed)]))
    if broken:
        sys.exit("\n".join(["", *broken]))


# One kernel an operation; its name is the family that must be found in it.
CALIBRATION = r"""
__device__ unsigned address(void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }
__device__ void through_shared(int* x) {
  __shared__ int s[64];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[63 - threadIdx.x];
}
__global__ void BAR(int* x) { through_shared(x); }
__global__ void LDS(int* x) { through_shared(x); }
__global__ void STS(int* x) { through_shared(x); }
__global__ void LDG(int* x) { x[0] = x[1] + 1; }
__global__ void STG(int* x) { x[0] = 1; }
__global__ void SHFL(int* x) { x[threadIdx.x] = __shfl_xor_sync(~0u, x[threadIdx.x], 1); }
__global__ void FFMA(float* x) { x[0] = fmaf(x[1], x[2], x[3]); }
__global__ void MUFU(float* x) { asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x[0])); }
__global__ void RED(float* x) { atomicAdd(x, 2.0f * threadIdx.x); }
__global__ void ATOMG(int* x) { x[1] = atomicExch(x, 2); }
__global__ void ATOMS(int* x) {
  __shared__ int s[64];
  s[threadIdx.x] = 0;
  __syncthreads();
  x[threadIdx.x] = atomicExch(s + x[0], 3);
}
__global__ void LDSM(int* x) {
  extern __shared__ int s[];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  int r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r) : "r"(address(s + 4 * threadIdx.x)));
  x[threadIdx.x] = r;
}
__global__ void LDGSTS(int* x) {
  extern __shared__ int s[];
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16; cp.async.wait_all;" :: "r"(address(s)), "l"(x) : "memory");
  __syncthreads();
  x[9] = s[threadIdx.x];
}
__global__ void HMMA(float* x, unsigned const* y) {
  float c[4] = {x[0], x[1], x[2], x[3]};
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(y[0]), "r"(y[1]), "r"(y[2]), "r"(y[3]), "r"(y[4]), "r"(y[5]));
  x[threadIdx.x] = c[0] + c[1] + c[2] + c[3];
}
"""
# Thirty-two registers a thread at most, and 128 values alive: this must spill.
SPILLING = r"""
__global__ void __launch_bounds__(1024, 2) spilling(float* x, int rounds) {
  float a[128];
#pragma unroll
  for (int i = 0; i < 128; ++i) { a[i] = x[i * 1024 + threadIdx.x]; }
#pragma unroll 1
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < 128; ++i) { a[i] = a[i] * a[(i + 7) % 128] + a[(i + 1) % 128]; }
  }
#pragma unroll
  for (int i = 0; i < 128; ++i) { x[i * 1024 + threadIdx.x] = a[i]; }
}
__global__ void indexed(float* x, int const* i) {
  float a[64] = {};
  for (int n = 0; n < 64; ++n) { a[i[n]] += x[n]; }
  for (int n = 0; n < 64; ++n) { x[n] = a[i[64 + n]]; }
}
"""


def calibrate(nvcc, folder, architecture):
    """Each operation is found under its name in the machine code of this architecture."""
    source = folder / "calibration.cu"
    source.write_text(CALIBRATION)
    wrong = []
    for name, cost in cubin.compile_kernels(nvcc, source, architecture).items():
        if not cost[name]:
            wrong.append(f"{architecture}: no {name} in the kernel that is made for it")
        if cost["local"] or cost["spills"] or cost["registers"] > 64:
            wrong.append(f"{architecture}: a small kernel costs {cost}")
    return wrong


def self_test(options):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        wrong = [line for architecture in options.arch for line in calibrate(options.nvcc, folder, architecture)]
        source = folder / "spilling.cu"
        source.write_text(SPILLING)
        kernels = cubin.compile_kernels(options.nvcc, source, options.arch[0])
    sound = {"registers": 100, "instructions": 1000, "HMMA": 44, "SHFL": 8}
    full = dict.fromkeys([*COLUMNS, *RECORDED, *ZERO], 0) | sound

    def expect(label, cost, parts, budget=sound, same_release=True):
        found = list(findings({"kernel": budget}, {"kernel": cost}, same_release))
        if len(found) != len(parts) or not all(part in line for part, line in zip(parts, found)):
            wrong.append(f"{label}: expected findings with {parts}, got {found}")

    expect("the recorded kernel", full, [])
    expect("a kernel within tolerance", full | {"registers": 108, "instructions": 1090}, [])
    expect("a spilling kernel", full | kernels["spilling"] | sound, ["spills", "local"]
           if not kernels["spilling"]["stack"] else ["stack", "spills", "local"])
    expect("an array indexed at run time", full | kernels["indexed"] | sound, ["stack", "local"])
    expect("more registers", full | {"registers": 109}, ["109 registers"])
    expect("more instructions", full | {"instructions": 1101}, ["1101 instructions"])
    expect("fewer instructions", full | {"instructions": 899}, ["899 instructions"])
    expect("a lost product", full | {"HMMA": 43}, ["HMMA 43"])
    expect("one more shuffle", full | {"SHFL": 9}, ["SHFL 9"])
    expect("a float atomic", full | {"RED": 1}, ["RED 1"])
    expect("an allowed spill", full | {"spills": 8, "local": 2}, [], sound | {"spills": 8, "local": 2})
    expect("another nvcc's counts", full | {"registers": 150, "SHFL": 9}, [], same_release=False)
    expect("another nvcc's spills", full | {"spills": 4}, ["spills"], same_release=False)
    for budgets, found, part in (({"old": sound}, {}, "not compiled any more"), ({}, {"new": full}, "has no budget")):
        if part not in "".join(findings(budgets, found, True)):
            wrong.append(f"not found: {part}")
    if wrong:
        sys.exit("self-test failed:\n" + "\n".join(wrong))
    print(f"self-test passed: operations are recognised on {', '.join(options.arch)}, every kind of finding is made")


def main():
    parser = argparse.ArgumentParser(description="Check the static budgets of the CUDA kernels.")
    parser.add_argument("--arch", nargs="+", required=True)
    parser.add_argument("--include", type=pathlib.Path)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--source", type=pathlib.Path, default=HERE / "kernels.cu")
    parser.add_argument("--budgets", type=pathlib.Path, default=HERE / "budgets.json")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if not shutil.which(options.nvcc):
        print(f"skipped: {options.nvcc} is not on this machine")
        sys.exit(SKIPPED)
    self_test(options) if options.self_test else check(options)


if __name__ == "__main__":
    main()
