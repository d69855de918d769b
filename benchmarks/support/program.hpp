// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the programs here share: how a case is named, that it is right before it is timed, its counters, and main().
// A name is a family and key:value pairs, which benchmarks/report reads: "sweep/by:chunkwise/map:rebased/d:16/...".
#ifndef LINATTN_BENCHMARKS_SUPPORT_PROGRAM_HPP
#define LINATTN_BENCHMARKS_SUPPORT_PROGRAM_HPP

#include "support/ceiling.hpp"
#include "support/host_pool.hpp"
#include "support/problem.hpp"

#include <linattn/linattn.hpp>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#define LINATTN_BENCHMARK_TEXT_OF(x) #x
#define LINATTN_BENCHMARK_TEXT(x) LINATTN_BENCHMARK_TEXT_OF(x)

namespace linattn_benchmark {

inline bool& any_wrong() {
  static bool wrong = false;
  return wrong;
}

/// Whether a case with this error may be timed. False: the case says so, and the program will fail.
inline bool is_right(benchmark::State& state, double accepted, double error) {
  if (!(error <= accepted)) {
    any_wrong() = true;
    state.SkipWithError(("wrong answer: relative error " + std::to_string(error)).c_str());
    return false;
  }
  state.counters["error"] = error;
  return true;
}

/// The same, where the error is found the first time that the case is run: its repetitions have the same input.
inline bool is_right(benchmark::State& state, std::string const& name, double accepted,
                     std::function<double()> const& error) {
  static std::map<std::string, double> errors;
  auto const known = errors.find(name);
  return is_right(state, accepted, known != errors.end() ? known->second : errors[name] = error());
}

/// Threads of a host's pool, or none: in families named started_threads each call starts its own.
inline linattn::task_runner threads_of(std::string const& name, int threads) {
  if (threads == 1 || name.find("started_threads/") != std::string::npos) {
    return {};
  }
  static host_pool pool(static_cast<int>(std::thread::hardware_concurrency()));
  return pool.runner();
}

/// An executor whose working memory is there already, as in a program that calls more than once.
template <class Attention, class Args>
linattn::cpu_executor prepared_executor(std::string const& name, int threads, Attention const& attention,
                                        Args const& args, linattn::precision products = linattn::precision::full) {
  static std::vector<std::byte> memory;
  linattn::cpu_executor exec{
      .threads = threads, .tasks = threads_of(name, threads), .workspace = {}, .products = products};
  std::size_t const bytes = linattn::workspace_bytes(exec, attention, args);
  if (memory.size() < bytes) {
    memory.resize(bytes);
  }
  exec.workspace = std::span<std::byte>(memory);
  return exec;
}

/// Rates of a call over so many tokens and heads. `flop` is the useful work of one of them; its share of the peak that
/// is measured now, just before the call is timed, becomes the counter `share`.
inline void report_work(benchmark::State& state, double token_heads, double flop, double peak) {
  using benchmark::Counter;
  state.counters["token_heads/s"] = Counter(token_heads, Counter::kIsIterationInvariantRate);
  state.counters["peak_flop/s"] = peak;
  state.counters["share"] = Counter(token_heads * flop / peak, Counter::kIsIterationInvariantRate);
}

/// 4 D V flop: the state's own work, that no choice of a chunk can flatter.
template <class Map>
double state_flop(shape const& s) {
  return 4.0 * Map::feature_dim * static_cast<double>(s.value_dim);
}

/// The parallel form's useful work: the mean over the tokens of 2 (d + V) flop a pair that the causal mask leaves.
template <class Map>
double pair_flop(shape const& s) {
  return static_cast<double>((s.time + 1) * (Map::head_dim + s.value_dim));
}

template <class Attention>
constexpr bool is_parallel = std::is_same_v<typename Attention::strategy_type, linattn::parallel>;

template <linattn::Element Element>
constexpr char const* element_name = "float";
template <>
constexpr char const* element_name<linattn::bf16> = "bf16";
template <>
constexpr char const* element_name<linattn::f16> = "f16";

template <class Strategy>
constexpr char const* strategy_name = "chunkwise";
template <>
constexpr char const* strategy_name<linattn::parallel> = "parallel";
template <>
constexpr char const* strategy_name<linattn::automatic> = "automatic";

/// The name of a case: `map` and the family are the caller's words, the rest follows from the type and the shape.
template <class Attention>
std::string case_name(std::string const& family, std::string const& map, shape const& s, int threads) {
  std::string name = family + "/by:" + strategy_name<typename Attention::strategy_type> + "/map:" + map;
  auto const add = [&](char const* key, std::int64_t value) {
    name += std::string("/") + key + ":" + std::to_string(value);
  };
  add("d", Attention::map_type::head_dim);
  add("V", s.value_dim);
  name += std::string("/element:") + element_name<typename Attention::element_type>;
  add("B", s.batch);
  add("H", s.heads);
  add("T", s.time);
  add("threads", threads);
  return name;
}

/// ReBased as it is trained: LayerNorm, gamma and beta. The numbers are the same in every program.
template <int HeadDim>
linattn::rebased<HeadDim> trained_rebased() {
  static std::vector<float> const gamma = [] {
    std::vector<float> numbers;
    for (int i = 0; i < HeadDim; ++i) {
      numbers.push_back(1.0F + 0.01F * static_cast<float>(i % 7));
    }
    return numbers;
  }();
  static std::vector<float> const beta = [] {
    std::vector<float> numbers;
    for (int i = 0; i < HeadDim; ++i) {
      numbers.push_back(0.02F * static_cast<float>(i % 5 - 2));
    }
    return numbers;
  }();
  std::span<float const> const g(gamma);
  std::span<float const> const b(beta);
  linattn::rebased<HeadDim> map;
  map.parameters = {g, b, g, b};
  return map;
}

/// 1, 2, 4, ... up to what the machine has.
inline std::vector<int> thread_counts() {
  std::vector<int> counts{1};
  while (2 * counts.back() <= static_cast<int>(std::thread::hardware_concurrency())) {
    counts.push_back(2 * counts.back());
  }
  return counts;
}

/// Families of several threads, and their one-thread cases, are timed by the wall clock; the others by the thread's
/// own.
inline bool by_wall_clock(std::string const& name) { return name.find("threads/") != std::string::npos; }

inline double ceiling_of(std::string const& name, int threads) {
  return by_wall_clock(name) ? measure_fma_throughput(threads) : measure_fma_peak();
}

/// Registers a case: run(state, name).
template <class Run>
void add_case(std::string const& name, Run&& run) {
  auto* const added = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, name); });
  added->Unit(benchmark::kMicrosecond);
  if (by_wall_clock(name)) {
    added->UseRealTime();
  }
}

/// Google Benchmark's main, with what a reader of the JSON needs to know. Exit code 1: a wrong answer.
inline int run_program(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", "clang++ " __clang_version__);
#else
  benchmark::AddCustomContext("compiler", "g++ " __VERSION__);
#endif
  benchmark::AddCustomContext("instruction_set", LINATTN_BENCHMARK_TEXT(LINATTN_ISA));
  benchmark::AddCustomContext("linattn", LINATTN_BENCHMARK_TEXT(LINATTN_VERSION_MAJOR) "." LINATTN_BENCHMARK_TEXT(
                                             LINATTN_VERSION_MINOR) "." LINATTN_BENCHMARK_TEXT(LINATTN_VERSION_PATCH));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return any_wrong() ? 1 : 0;
}

}  // namespace linattn_benchmark

#endif
