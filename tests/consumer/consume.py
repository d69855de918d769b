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
        shutil.copy(root / "tests/consumer/app.cpp", work)
        self.write("attend.cpp", self.block("attend.cpp"))

    def block(self, name):
        if name not in self.blocks:
            fail(f"README.md has no block marked <!-- tested: {name} -->")
        return self.blocks[name]

    def write(self, name, text):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def try_run(self, *command):
        environment = dict(os.environ, CXX=self.compiler, CMAKE_GENERATOR="Ninja")
        return subprocess.run([str(part) for part in command], cwd=self.work, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *command):
        result = self.try_run(*command)
        if result.returncode != 0:
            fail(f"exit code {result.returncode} from {' '.join(map(str, command))}\n{result.stdout}")
        return result.stdout

    def shell(self, name):
        """Runs a README block of shell commands, with `c++` meaning the compiler under test."""
        self.write("bin/c++", f'#!/bin/sh\nexec {self.compiler} "$@"\n')
        (self.work / "bin/c++").chmod(0o755)
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
                                ("0.1 COMPONENTS cuda", "a component that is not there")):
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
                       ("avx512", ["-march=x86-64-v4"], "avx512f")]
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

    def wrong_answer(self):
        """This test can fail: a map that is not what the README says must be reported."""
        self.write("attend.cpp", self.block("attend.cpp").replace("taylor<16>", "power<16, 2>"))
        self.compile("-Ilinattn/include", "app.cpp", "-o", "app")
        result = self.try_run("./app")
        if result.returncode == 0 or "WRONG" not in result.stdout:
            fail(f"a wrong feature map was not noticed: {result.stdout}")
        print(result.stdout, end="")


WAYS = [name for name, value in vars(Consumer).items() if callable(value) and not name.startswith("_") and name not in (
    "block", "write", "try_run", "run", "shell", "compile", "check", "cmake_project", "install", "mixed", "weak_functions")]


def main():
    parser = argparse.ArgumentParser(description="Use linattn the way its users do.")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", default="g++")
    options = parser.parse_args()
    if not shutil.which(options.compiler):
        skip(f"{options.compiler} is not on this machine")
    consumer = Consumer(options.root.resolve(), options.work.resolve(), options.compiler)
    getattr(consumer, options.way)()
    shutil.rmtree(options.work)   # kept after a failure


if __name__ == "__main__":
    main()
