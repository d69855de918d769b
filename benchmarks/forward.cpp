// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times forward over sequence lengths, one thread: where chunkwise overtakes parallel, and that its time is linear in T.
// Each length is run on as many heads as keep the tokens at 2^17 or below. `state_share` is the state's own work,
// 4 D V flop a token and head, as a share of the multiply-add peak measured in the same process.

#include "support/ceiling.hpp"
#include "support/problem.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>

namespace {

using namespace linattn_benchmark;

double fma_peak() {
  static double const peak = measure_fma_peak();
  return peak;
}

template <class Attention>
void forward(benchmark::State& state) {
  std::int64_t const time = state.range(0);
  std::int64_t const heads = std::clamp<std::int64_t>((std::int64_t{1} << 17) / time, 1, 8);
  problem<Attention> p(heads, time, 64);
  linattn::cpu_executor const exec{.threads = 1};
  auto const args = p.forward_args();
  linattn::forward(exec, p.attention, args);
  if (!(p.worst_row_error() < 2e-5)) {
    state.SkipWithError("wrong answer");
    return;
  }
  for (auto _ : state) {
    linattn::forward(exec, p.attention, args);
    benchmark::ClobberMemory();
  }
  double const token_heads = static_cast<double>(time * heads);
  using map = typename Attention::map_type;
  double const state_flop = 4.0 * map::feature_dim * 64;
  using benchmark::Counter;
  state.counters["token_heads/s"] = Counter(token_heads, Counter::kIsIterationInvariantRate);
  state.counters["state_share"] = Counter(token_heads * state_flop / fma_peak(), Counter::kIsIterationInvariantRate);
  state.counters["peak_flop/s"] = fma_peak();
}

using linattn::attention;
using linattn::chunkwise;
using linattn::parallel;
using linattn::rebased;
using linattn::taylor;

BENCHMARK(forward<attention<rebased<16>, chunkwise<>>>)
    ->Name("chunkwise/rebased<16>")
    ->RangeMultiplier(2)
    ->Range(64, 1 << 17)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(forward<attention<rebased<16>, parallel>>)
    ->Name("parallel/rebased<16>")
    ->RangeMultiplier(2)
    ->Range(64, 8192)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(forward<attention<rebased<16>, linattn::automatic>>)
    ->Name("automatic/rebased<16>")
    ->RangeMultiplier(2)
    ->Range(64, 8192)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(forward<attention<taylor<16>, chunkwise<>>>)
    ->Name("chunkwise/taylor<16>")
    ->Arg(2048)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
