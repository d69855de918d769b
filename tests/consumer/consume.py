#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Use linattn the way its users do: consume.py WAY --root CHECKOUT --work DIR [--compiler g++]

Every way compiles the README's own code with the README's own commands (the blocks marked `<!-- tested: NAME -->`),
in a folder that holds a copy of what a user gets, and runs the result, which checks each number that attend() gives.
Exit code 77: this machine cannot try this way.
"""
import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

SKIPPED = 77
SHIPPED = ("CMakeLists.txt", "LICENSE", "README.md", "include", "cmake", "scripts")


def fail(message):
    sys.exit(f"consume.py: {message}")


def skip(message):
    print(f"skipped: {message}")
    sys.exit(SKIPPED)


def readme_blocks(readme):
    blocks = re.findall(r"^<!-- tested: (\S+) -->\n```\w+\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return dict(blocks)


class Consumer:
    def __init__(self, root, work, compiler):
        self.root, self.work, self.compiler = root, work, compiler
        self.blocks = readme_blocks((root / "README.md").read_text())
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in SHIPPED:
            source, target = root / name, work / "linattn" / name
            target.parent.mkdir(exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        for name in ("app.cpp", "app.cu", "mdspan.cu"):
            shutil.copy(root / "tests/consumer" / name, work)
        for name in ("attend.cpp", "attend.cu"):
            self.write(name, self.block(name))

    def block(self, name):
        if name not in self.blocks:
            fail(f"README.md has no block marked <!-- tested: {name} -->")
        return self.blocks[name]

    def write(self, name, text):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def try_run(self, *command):
        environment = dict(os.environ, CXX="g++" if self.compiler.endswith("nvcc") else self.compiler,
                           CMAKE_GENERATOR="Ninja")
        return subprocess.run([str(part) for part in command], cwd=self.work, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *command):
        result = self.try_run(*command)
        if result.returncode != 0:
            fail(f"exit code {result.returncode} from {' '.join(map(str, command))}\n{result.stdout}")
        return result.stdout

    def shell(self, name):
        """Runs a README block of shell commands, with `c++` or `nvcc` meaning the compiler under test."""
        command = "nvcc" if self.compiler.endswith("nvcc") else "c++"
        self.write(f"bin/{command}", f'#!/bin/sh\nexec {self.compiler} "$@"\n')
        (self.work / "bin" / command).chmod(0o755)
        self.run("bash", "-euc", f'PATH="$PWD/bin:$PATH"\n{self.block(name)}')

    def compile(self, *arguments):
        self.run(self.compiler, "-std=c++20", "-O2", "-Wall", "-Wextra", "-pthread", *arguments)

    def check(self, program="./app"):
        output = self.run(program)
        if "attend() is right" not in output:
            fail(f"{program} printed {output}")
        print(output, end="")

    def cmake_project(self, block, *arguments):
        """Configures, builds and runs a project that has the README's CMake block in it."""
        self.write("CMakeLists.txt", "cmake_minimum_required(VERSION 3.21)\nproject(app LANGUAGES CXX)\n"
                                     f"add_executable(app app.cpp)\n{self.block(block)}")
        self.run("cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release", *arguments)
        self.run("cmake", "--build", "build")
        self.check("build/app")

    def install(self):
        """Installs as the README says, then moves the prefix: an installed tree must not know where it was made."""
        self.shell("install.sh")
        shutil.rmtree(self.work / "linattn-build")
        (self.work / "linattn").rename(self.work / "linattn-source")
        (self.work / "prefix").rename(self.work / "moved")
        shipped = {path.relative_to(self.root / "include") for path in (self.root / "include").rglob("*.[hc][pu][ph]")}
        prefix = self.work / "moved/include"
        installed = {path.relative_to(prefix) for path in prefix.rglob("*.*") if path.is_file()}
        if shipped != installed:
            fail(f"installed headers differ from include/: {sorted(map(str, shipped ^ installed))}")

    # --- the ways ----------------------------------------------------------------------------------------------------

    def plain(self):
        self.shell("plain.sh")
        self.check()

    def copied_headers(self):
        shutil.copytree(self.work / "linattn/include/linattn", self.work / "third_party/linattn")
        shutil.rmtree(self.work / "linattn")
        self.compile("-Ithird_party", "app.cpp", "-o", "app")
        self.check()

    def single_header(self):
        self.shell("single_header.sh")
        (self.work / "linattn").rename(self.work / "linattn-source")
        modular = self.block("attend.cpp")
        single = modular.replace("#include <linattn/linattn.hpp>", '#include "linattn_single.hpp"')
        if single == modular:
            fail("the README's code does not include <linattn/linattn.hpp>")
        self.write("attend.cpp", single)
        self.compile("app.cpp", "-o", "app")
        self.check()
        # In one translation unit with the modular headers, in either order.
        for text in (f"#include <linattn/linattn.hpp>\n{single}", f'#include "linattn_single.hpp"\n{modular}'):
            self.write("attend.cpp", text)
            self.compile("-Ilinattn-source/include", "-fsyntax-only", "app.cpp")

    def add_subdirectory(self):
        self.cmake_project("add_subdirectory.cmake")
        # A subproject builds no tests (they are not even here) and installs nothing into its parent's prefix.
        self.run("cmake", "--install", "build", "--prefix", "prefix")
        if (self.work / "prefix").exists():
            fail(f"as a subproject linattn installs {sorted((self.work / 'prefix').rglob('*'))}")

    def fetch_content(self):
        self.cmake_project("fetch_content.cmake", "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
                           f"-DFETCHCONTENT_SOURCE_DIR_LINATTN={self.work}/linattn")

    def find_package(self):
        self.install()
        prefix = f"-DCMAKE_PREFIX_PATH={self.work}/moved"
        self.cmake_project("find_package.cmake", prefix)
        for request, reason in (("0.0", "an older minor version, whose API differs"), ("9.0", "a version to come"),
                                ("0.1 COMPONENTS metal", "a component that is not there")):
            self.write("refused/CMakeLists.txt", "cmake_minimum_required(VERSION 3.21)\nproject(app LANGUAGES CXX)\n"
                                                 f"find_package(linattn {request} REQUIRED)\n")
            if self.try_run("cmake", "-S", "refused", "-B", "refused/build", prefix).returncode == 0:
                fail(f"find_package accepts {reason}: {request}")
            shutil.rmtree(self.work / "refused")
        self.write("accepted/CMakeLists.txt", "cmake_minimum_required(VERSION 3.21)\nproject(app LANGUAGES CXX)\n"
                                              "find_package(linattn 0.1 REQUIRED COMPONENTS cpu)\n")
        self.run("cmake", "-S", "accepted", "-B", "accepted/build", prefix)

    def pkg_config(self):
        if not shutil.which("pkg-config"):
            skip("pkg-config is not on this machine")
        self.install()
        (self.work / "moved").rename(self.work / "prefix")
        self.shell("pkg_config.sh")
        self.check()

    def two_units(self):
        """The same variant in two translation units: nothing is defined twice."""
        self.compile("-Ilinattn/include", "-c", "app.cpp", "-o", "first.o", "-DCONSUMER_SECOND_CHECK=second_check")
        self.compile("-Ilinattn/include", "-c", "app.cpp", "-o", "second.o", "-Dattend=attend_again",
                     "-DCONSUMER_CHECK=second_check", "-DCONSUMER_NO_MAIN")
        self.compile("first.o", "second.o", "-o", "app")
        self.check()

    def mixed_instruction_sets(self):
        """Two units whose engines differ by their flags: neither may end up running the other's."""
        if platform.machine() not in ("x86_64", "AMD64"):
            skip("the flags of this test are those of x86-64")
        old = ["-march=x86-64"]
        for new in (["-march=native"], [*old, "-DLINATTN_NO_VECTOR_EXTENSIONS"]):
            self.mixed(old, new)

    def mixed(self, first, second):
        flags = ("-Ilinattn/include", "-O0", "-c", "app.cpp")   # -O0: every function is left for the linker to merge
        self.compile(*flags, *first, "-o", "first.o", "-DCONSUMER_SECOND_CHECK=second_check")
        self.compile(*flags, *second, "-o", "second.o", "-Dattend=attend_again", "-DCONSUMER_CHECK=second_check",
                     "-DCONSUMER_NO_MAIN")
        for order in (("first.o", "second.o"), ("second.o", "first.o")):
            self.compile(*order, "-o", "app")
            self.check()
        shared = self.weak_functions("first.o") & self.weak_functions("second.o")
        engine = sorted(name for name in shared if re.search(r"linattn::.*(engine|microkernel|simd|cpu_executor)", name))
        if engine:
            fail(f"the linker merges these functions of the engine, although one unit is compiled with {first} and the "
                 f"other with {second}:\n" + "\n".join(engine))

    def weak_functions(self, unit):
        lines = self.run("nm", "--demangle", "--defined-only", unit).splitlines()
        return {line.split(" ", 2)[2] for line in lines if line.split(" ", 2)[1] in "WV"}

    def each_instruction_set(self):
        """Every vector width of the engine that this machine can run, and the code for compilers without vectors."""
        builds = [("portable", ["-DLINATTN_NO_VECTOR_EXTENSIONS"], "")]
        if platform.machine() in ("x86_64", "AMD64"):
            builds += [("sse2", ["-march=x86-64"], "sse2"), ("avx2", ["-march=x86-64-v3"], "avx2"),
                       ("avx512", ["-march=x86-64-v4"], "avx512f"),
                       ("avx512_bf16", ["-march=x86-64-v4", "-mavx512bf16"], "avx512_bf16")]
        cpu_flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
        for name, flags, needed in builds:
            self.compile("-Ilinattn/include", *flags, "app.cpp", "-o", name)
            if needed and needed not in cpu_flags:
                print(f"{name}: compiled; this machine cannot run it")
                continue
            print(name, end=": ")
            self.check(f"./{name}")

    def no_exceptions(self):
        self.compile("-Ilinattn/include", "-fno-exceptions", "-fno-rtti", "app.cpp", "-o", "app")
        self.check()

    def fast_math(self):
        self.compile("-Ilinattn/include", "-ffast-math", "-march=native", "app.cpp", "-o", "app")
        self.check()

    # --- with nvcc as the compiler -----------------------------------------------------------------------------------

    def check_cuda(self, program="./app"):
        """The program is right, or was linked and says that there is no GPU to run it on."""
        result = self.try_run(program)
        if result.returncode not in (0, SKIPPED) or not re.search("attend\\(\\) is right|no GPU", result.stdout):
            fail(f"{program} printed {result.stdout}")
        print(result.stdout, end="")

    def cuda_project(self, lines, *arguments):
        # No C++ standard is asked for here: linattn::cuda has to bring C++20 along.
        self.write("CMakeLists.txt", f"cmake_minimum_required(VERSION 3.21)\nproject(app LANGUAGES CXX)\n{lines}")
        self.run("cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release",
                 f"-DCMAKE_CUDA_COMPILER={self.compiler}", *arguments)
        self.run("cmake", "--build", "build")
        self.check_cuda("build/app")

    def cuda_plain(self):
        self.shell("nvcc.sh")
        self.check_cuda()

    def cuda_mdspan(self):
        self.run(self.compiler, "-std=c++20", "-arch=sm_80", "-Ilinattn/include", "mdspan.cu", "-o", "app")
        print(self.run("./app"), end="")

    def cuda_find_package(self):
        """The package is made without nvcc's help and moved; it works before and after enable_language."""
        self.shell("install.sh")
        (self.work / "linattn").rename(self.work / "linattn-source")
        (self.work / "prefix").rename(self.work / "moved")
        prefix = f"-DCMAKE_PREFIX_PATH={self.work}/moved"
        block = self.block("cuda.cmake")
        self.cuda_project(block, prefix)
        enable, find = "enable_language(CUDA)\n", "find_package(linattn 0.1 REQUIRED COMPONENTS cuda)\n"
        late = block.replace(enable, "").replace(find, find + enable)
        if late == block:
            fail("the README's block cuda.cmake has no enable_language before find_package")
        shutil.rmtree(self.work / "build")
        self.cuda_project(late.replace("80 90a", "80"), prefix)

    def cuda_add_subdirectory(self):
        find = "find_package(linattn 0.1 REQUIRED COMPONENTS cuda)"
        add = "set(LINATTN_CUDA ON)\nadd_subdirectory(linattn)"
        self.cuda_project(self.block("cuda.cmake").replace(find, add).replace("80 90a", "80"))
        # A parent that enables no CUDA gets none: linattn enables no language, and LINATTN_CUDA=ON says why it cannot.
        for option, accepted in (("AUTO", True), ("ON", False)):
            shutil.rmtree(self.work / "build")
            self.write("CMakeLists.txt", "cmake_minimum_required(VERSION 3.21)\nproject(app LANGUAGES CXX)\n"
                       "add_subdirectory(linattn)\nget_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)\n"
                       'if(TARGET linattn::cuda OR "CUDA" IN_LIST languages)\n  message(FATAL_ERROR "CUDA")\nendif()\n')
            result = self.try_run("cmake", "-S", ".", "-B", "build", f"-DLINATTN_CUDA={option}")
            if (result.returncode == 0) != accepted or (not accepted and "enable_language(CUDA)" not in result.stdout):
                fail(f"a parent without CUDA and LINATTN_CUDA={option}: {result.stdout}")

    def cuda_two_libraries(self):
        """Two shared libraries for two architectures in one process must not share what launches kernels, or one would
        launch what only the other's device code has."""
        found = self.shared_launchers()
        if found:
            fail("libraries for sm_80 and sm_90a export kernels, or the same callers of kernels:\n"
                 + "\n".join(sorted(found)))
        # This test can fail: take the two precautions out.
        config = self.work / "linattn/include/linattn/simt/config.hpp"
        text = config.read_text()
        bare = text.replace('__attribute__((visibility("hidden")))', "")
        bare = bare.replace("LINATTN_SIMT_JOIN(__CUDA_ARCH_LIST__)", "sm_any")
        if bare == text:
            fail("simt/config.hpp has neither hidden visibility nor an architecture's namespace")
        config.write_text(bare)
        if not self.shared_launchers():
            fail("without hidden visibility and namespaces, no shared launcher was found: this check sees nothing")

    def shared_launchers(self):
        exported = []
        for architecture in ("sm_80", "sm_90a"):
            library = f"lib{architecture}.so"
            self.run(self.compiler, "-std=c++20", "-O1", f"-arch={architecture}", "-Ilinattn/include", "-shared",
                     "-cudart", "shared", "-Xcompiler=-fPIC", f"-Dattend=attend_{architecture}", "attend.cu",
                     "-o", library)
            symbols = {line.split(" ", 2)[2] for line in
                       self.run("nm", "--dynamic", "--demangle", "--defined-only", library).splitlines()}
            if not any(f"attend_{architecture}" in symbol for symbol in symbols):
                fail(f"{library} does not export its attend function: {symbols}")
            exported.append(symbols)
        # Kernels and what starts them are hidden; their callers carry the architecture in their name.
        hidden = re.compile(r"simt::\w+::(detail::)?(kernel_entry|launch)<|__device_stub__")
        callers = re.compile(r"linattn::.*(kernel|launch|cuda_executor|cuda_engine|simt::)")
        return ({symbol for symbol in exported[0] | exported[1] if hidden.search(symbol)}
                | {symbol for symbol in exported[0] & exported[1] if callers.search(symbol)})

    def wrong_answer(self):
        """This test can fail: a map that is not what the README says must be reported."""
        self.write("attend.cpp", self.block("attend.cpp").replace("taylor<16>", "power<16, 2>"))
        self.compile("-Ilinattn/include", "app.cpp", "-o", "app")
        result = self.try_run("./app")
        if result.returncode == 0 or "WRONG" not in result.stdout:
            fail(f"a wrong feature map was not noticed: {result.stdout}")
        print(result.stdout, end="")


WAYS = [name for name, value in vars(Consumer).items() if callable(value) and not name.startswith("_") and name not in (
    "block", "write", "try_run", "run", "shell", "compile", "check", "cmake_project", "install", "mixed",
    "weak_functions", "check_cuda", "cuda_project", "shared_launchers")]


def main():
    parser = argparse.ArgumentParser(description="Use linattn the way its users do.")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", default="g++")
    options = parser.parse_args()
    compiler = shutil.which(options.compiler)
    if not compiler and options.compiler == "nvcc":
        compiler = shutil.which("/usr/local/cuda/bin/nvcc")   # often installed without being on PATH
    if not compiler:
        skip(f"{options.compiler} is not on this machine")
    consumer = Consumer(options.root.resolve(), options.work.resolve(),
                        compiler if options.way.startswith("cuda_") else options.compiler)
    getattr(consumer, options.way)()
    shutil.rmtree(options.work)   # kept after a failure


if __name__ == "__main__":
    main()
