# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a compiled kernel costs, read from ptxas' report and from the cubin itself: no GPU and no disassembler.

Machine code of sm_70 and newer has 16 bytes an instruction. Its low 9 bits name the operation (the next three say which
operands are registers, constants or numbers), bits 12 to 15 the predicate. FAMILIES holds the operations that budgets
count; calibrate() in check_budgets.py compiles a kernel for each of them and looks for it.
"""
import collections
import pathlib
import re
import struct
import subprocess
import tempfile

FAMILIES = {
    0x03c: "HMMA",     # a product on the matrix unit: f16, bf16, tf32
    0x1f0: "HGMMA",    # the same of a warp group (sm_90a)
    0x03b: "LDSM",     # ldmatrix
    0x1ae: "LDGSTS",   # cp.async
    0x189: "SHFL",
    0x11d: "BAR",
    0x181: "LDG", 0x186: "STG", 0x184: "LDS", 0x188: "STS",
    0x183: "LDL", 0x187: "STL",    # local memory: spills, or an array that is indexed at run time
    0x18e: "RED", 0x1a6: "RED", 0x1a3: "ATOMG", 0x1a8: "ATOMG", 0x18c: "ATOMS", 0x18d: "ATOMS",
    0x108: "MUFU", 0x023: "FFMA",
}
NO_OPERATION = 0x118
NEVER = 0xf   # the predicate @!PT
REPORT = re.compile(r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, "
                    r"(\d+) bytes spill loads\s+ptxas info\s*: Used (\d+) registers")


class CompileError(Exception):
    pass


def sections(elf):
    """(name, bytes) of each section of a 64-bit ELF file that has bytes."""
    offset, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, offset + i * size) for i in range(count)]
    for name, kind, _, _, begin, length, *_ in headers:
        text = elf[headers[names][4] + name:].split(b"\0", 1)[0].decode()
        yield text, elf[begin:begin + length] if kind != 8 else b""


def operations(code):
    """How often each family occurs in a kernel's code, and all instructions together."""
    counts = collections.Counter()
    for at in range(0, len(code), 16):
        word, = struct.unpack_from("<H", code, at)
        if word >> 12 == NEVER or word & 0x1ff == NO_OPERATION:
            continue
        counts["instructions"] += 1
        counts[FAMILIES.get(word & 0x1ff, "other")] += 1
    return counts


def short_name(symbol):
    """A kernel's name without namespaces and parameters: what a person calls it."""
    name = subprocess.run(["c++filt", symbol], text=True, check=True, stdout=subprocess.PIPE).stdout.strip()
    name = re.sub(r"\(anonymous namespace\)::", "", name)
    # A cast in a template argument, (linattn::float_products)0, is a parameter list for no one.
    name = re.sub(r"\((?:\w+::)*(\w+)\)(\d+)", r"\1:\2", name)
    name = re.sub(r"\b(?:\w+::)+", "", name.split("(")[0])
    name = re.sub(r"^void ", "", name)
    name = re.sub(r"\bratio<(-?\d+)l, (\d+)l>", r"\1/\2", name)
    name = re.sub(r"\bintegral_constant<\w+, ([\w:]+)>", r"\1", name)
    entry = re.fullmatch(r"kernel_entry<\s*(.*?)\s*>", name)
    name = entry[1] if entry else name
    return re.sub(r"\s*>", ">", re.sub(r",\s*", ", ", name)).strip()


def compile_kernels(nvcc, source, architecture, include=None, flags=()):
    """{kernel: {registers, stack, spills, instructions, HMMA, ...}} of all kernels of a .cu file."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = pathlib.Path(folder) / "kernels.cubin"
        command = [nvcc, "-std=c++20", "-O3", f"-arch={architecture}", "--resource-usage", "-cubin", str(source),
                   "-o", str(cubin), *([f"-I{include}"] if include else []), *flags]
        result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            raise CompileError(f"{' '.join(command)}\n{result.stdout}")
        code = {name[len(".text."):]: data for name, data in sections(cubin.read_bytes()) if name.startswith(".text.")}
        kernels = {}
        for symbol, stack, stores, loads, registers in REPORT.findall(result.stdout):
            counts = operations(code[symbol])
            kernels[short_name(symbol)] = {
                "registers": int(registers), "stack": int(stack), "spills": int(stores) + int(loads),
                "local": counts["LDL"] + counts["STL"], **{name: counts[name] for name in
                                                           ["instructions", *sorted(set(FAMILIES.values()))]}}
        if len(kernels) != len(code):
            raise CompileError(f"{len(code)} kernels in the cubin, {len(kernels)} in ptxas' report or of one name:\n"
                               + result.stdout)
        return kernels
