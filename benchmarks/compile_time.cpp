// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What including and instantiating linattn costs: CPU seconds of the compiler that built this program, with its flags,
// and bytes of code. `with:header` compiles the include alone. Of two instantiations, `one_more` is what the second
// took: the difference to a unit with one, compiled just before. A translation unit that does not compile, or has no
// such function in its object, is an error and not a time.

#include "support/program.hpp"

#include <benchmark/benchmark.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace {

std::string const maps[] = {"linattn::rebased<16>", "linattn::taylor<16>"};

/// A translation unit that calls `verb` for the first so many maps; `verb` may be empty.
std::string unit(std::string const& verb, int count) {
  std::string text = "#include <linattn/linattn.hpp>\n";
  for (int i = 0; i < count; ++i) {
    std::string const attention = "linattn::attention<" + maps[i] + ">";
    std::string const state = verb == "step" ? ", state" : "";
    text += "void " + verb + "_of(" + attention + " const& attn, ";
    text += verb == "step" ? attention + "::state_type const& state, " : "";
    text += attention + "::" + verb + "_args const& args) {\n";
    text += "  linattn::" + verb + "(linattn::cpu_executor{}, attn" + state + ", args);\n}\n";
  }
  return text;
}

double cpu_seconds_of_children() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  auto const seconds = [](timeval const& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string output_of(std::string const& command) {
  std::string text;
  if (std::FILE* const pipe = popen(command.c_str(), "r")) {
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
      text += static_cast<char>(c);
    }
    if (pclose(pipe) != 0) {
      text.clear();
    }
  }
  return text;
}

/// The size of an object's code and constants, as `size` says; 0 if it says nothing.
double code_bytes(std::string const& object) {
  std::istringstream text(output_of("size " + object));
  std::string heads;
  std::getline(text, heads);
  double bytes = 0;
  text >> bytes;
  return bytes;
}

/// A folder of its own, which goes when the program ends.
class scratch_folder {
 public:
  scratch_folder() {
    if (mkdtemp(path_) == nullptr) {
      std::perror("compile_time: mkdtemp");
      std::exit(2);
    }
  }
  ~scratch_folder() { static_cast<void>(output_of("rm -r " + std::string(path_))); }
  [[nodiscard]] std::string file(std::string const& name) const { return path_ + ("/" + name); }

 private:
  char path_[32] = "/tmp/linattn-compile-XXXXXX";
};

std::string compiler_command(std::string const& source, std::string const& options, std::string const& object) {
  return LINATTN_BENCHMARK_COMPILER " -std=c++20 -I" LINATTN_BENCHMARK_INCLUDE " " + options + " " + source + " -o " +
         object;
}

/// CPU seconds of a command; less than zero if it fails.
double seconds_of(std::string const& command) {
  double const before = cpu_seconds_of_children();
  return std::system(command.c_str()) == 0 ? cpu_seconds_of_children() - before : -1;
}

void compile(benchmark::State& state, std::string const& text, std::string const& verb, int count,
             std::string const& flags) {
  static scratch_folder const folder;
  std::string const source = folder.file("unit.cpp");
  std::string const smaller = folder.file("smaller.cpp");
  std::string const object = folder.file("unit.o");
  std::ofstream(source) << text;
  bool const preprocess = flags == "-E";
  std::string const options = preprocess ? flags : flags + " -c";
  if (count > 1) {
    std::ofstream(smaller) << unit(verb, count - 1);
  }
  for (auto _ : state) {
    double const before = count > 1 ? seconds_of(compiler_command(smaller, options, object)) : 0;
    double const seconds = seconds_of(compiler_command(source, options, object));
    if (before < 0 || seconds < 0) {
      linattn_benchmark::any_wrong() = true;
      state.SkipWithError("the translation unit does not compile");
      return;
    }
    state.SetIterationTime(seconds);
    if (count > 1) {
      state.counters["one_more"] = seconds - before;
    }
  }
  if (preprocess) {
    std::ifstream lines(object);
    double number = 0;
    for (std::string line; std::getline(lines, line);) {
      number += line.empty() || line[0] == '#' ? 0 : 1;
    }
    state.counters["lines"] = number;
    return;
  }
  std::istringstream symbols(output_of("nm --demangle --defined-only " + object));
  int defined = 0;
  for (std::string line; std::getline(symbols, line);) {
    defined += line.find(" T " + verb + "_of(") != std::string::npos ? 1 : 0;
  }
  if (defined != count) {
    linattn_benchmark::any_wrong() = true;
    state.SkipWithError("the object does not define the functions that call linattn");
    return;
  }
  state.counters["code_bytes"] = code_bytes(object);
}

void add(std::string const& name, std::string const& text, std::string const& verb, int count,
         std::string const& flags) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { compile(state, text, verb, count, flags); })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  add("compile/with:preprocess/flags:-E", unit("", 0), "", 0, "-E");
  for (std::string const flags : {"-O2", LINATTN_BENCHMARK_FLAGS}) {
    std::string const by = "/flags:" + flags;
    add("compile/with:nothing" + by, "int nothing = 0;\n", "", 0, flags);
    add("compile/with:header" + by, unit("", 0), "", 0, flags);
    for (std::string const verb : {"forward", "backward", "step"}) {
      if (verb == "step" && flags != "-O2") {
        continue;  // seconds a case: the verbs of training are enough
      }
      for (int const count : {1, 2}) {
        add("compile/with:" + verb + "/count:" + std::to_string(count) + by, unit(verb, count), verb, count, flags);
      }
    }
  }
  return linattn_benchmark::run_program(argc, argv);
}
