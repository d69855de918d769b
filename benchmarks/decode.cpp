// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times step: a token of each batch row through its state. Families: `decode` with one row of 8 heads, whose states
// stay in the second-level cache, and with so many rows that their states exceed all caches, when the share of the
// memory's measured bandwidth counts: each state is read and written once. `decode_threads`: the same on several
// threads. `decode_loop`: the loop over the states in a cache, and nothing else of a step.

#include "support/program.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace linattn_benchmark;
using linattn::attention;
using linattn::chunkwise;
using linattn::rebased;
using linattn::sum_normalizer;
using linattn::taylor;

constexpr std::int64_t prefill = 8;

template <class Attention>
void time_step(benchmark::State& state, std::string const& name, shape const& s, int threads, bool in_memory) {
  using map = typename Attention::map_type;
  Attention const attention{};
  problem<Attention> p(s, attention);
  linattn::host_state<map> states(s.batch, s.heads, s.value_dim);
  auto const args = p.step_args(prefill);
  auto const exec = prepared_executor(name, threads, attention, args);
  double const bandwidth = in_memory ? measure_bandwidth() : 0;

  // The state after the first tokens, by forward; then the token that is timed.
  auto prompt = p.forward_args();
  for (auto* const x : {&prompt.q, &prompt.k, &prompt.v}) {
    x->extents[2] = prefill;
  }
  prompt.out.extents[2] = prefill;
  prompt.denominator = {};
  prompt.final_state = states.view();
  linattn::forward(linattn::cpu_executor{.threads = 1, .tasks = {}, .workspace = {}}, attention, prompt);
  linattn::step(exec, attention, states.view(), args);
  // Each repetition has a state of its own, so each is checked.
  if (!is_right(state, accepted_error<typename Attention::element_type>, p.step_error(prefill))) {
    return;
  }
  double const peak = ceiling_of(name, threads);
  for (auto _ : state) {
    linattn::step(exec, attention, states.view(), args);
    benchmark::ClobberMemory();
  }
  auto const rows = static_cast<double>(s.batch * s.heads);
  double const state_bytes = map::feature_dim * static_cast<double>(s.value_dim + 1) * sizeof(float);
  report_work(state, rows, state_flop<map>(s), peak);
  using benchmark::Counter;
  state.counters["state_bytes"] = rows * state_bytes;
  state.counters["bytes/s"] = Counter(2 * rows * state_bytes, Counter::kIsIterationInvariantRate);
  if (in_memory) {
    state.counters["bandwidth"] = bandwidth;
    state.counters["bandwidth_share"] = Counter(2 * rows * state_bytes / bandwidth, Counter::kIsIterationInvariantRate);
  }
}

/// out = phi_q^T (S + phi_k v^T) for 8 heads, whose features are there already.
template <class Attention>
void time_loop(benchmark::State& state, std::string const& name, shape const& s) {
  using map = typename Attention::map_type;
  constexpr int features = map::feature_dim;
  auto const width = static_cast<std::size_t>(s.value_dim);
  std::size_t const state_size = std::size_t{features} * width;
  vector_of<float> states(static_cast<std::size_t>(s.heads) * state_size);
  std::vector<float> const phi_k(std::size_t{features}, 0.25F);
  std::vector<float> const phi_q(std::size_t{features}, 0.5F);
  std::vector<float> const v(width, 2.0F);
  std::vector<float> out(width);
  auto const run = [&] {
    for (std::int64_t head = 0; head < s.heads; ++head) {
      linattn::detail::token_update<float> u;
      u.slot = {states.data() + static_cast<std::size_t>(head) * state_size, s.value_dim, 1, nullptr, 0};
      u.features = features;
      u.end = static_cast<int>(s.value_dim);
      u.phi_k = phi_k.data();
      u.phi_q = phi_q.data();
      u.v = v.data();
      u.out = out.data();
      u.group = 1;
      u.cached = true;
      linattn::detail::update_values(u);
    }
  };
  run();
  double const exact = 0.25 * features;  // features * 0.5 * (0.25 * 2)
  if (!is_right(state, accepted_error<float>, std::abs(static_cast<double>(out.back()) - exact) / exact)) {
    return;
  }
  double const peak = ceiling_of(name, 1);
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  report_work(state, static_cast<double>(s.heads), state_flop<map>(s), peak);
  double const bytes = static_cast<double>(states.size() * sizeof(float));
  state.counters["state_bytes"] = bytes;
  state.counters["bytes/s"] = benchmark::Counter(2 * bytes, benchmark::Counter::kIsIterationInvariantRate);
}

template <class Attention>
void add(std::string const& family, std::string const& map, std::int64_t batch, int threads = 1) {
  bool const in_memory = batch > 1;
  shape const s{batch, 8, prefill + 1, 64};
  add_case(case_name<Attention>(family + (in_memory ? "/in:memory" : "/in:cache"), map, s, threads),
           [=](benchmark::State& state, std::string const& name) {
             time_step<Attention>(state, name, s, threads, in_memory);
           });
}

void add_all() {
  add<attention<rebased<16>>>("decode", "rebased", 1);
  add<attention<taylor<16>>>("decode", "taylor", 1);
  add<attention<rebased<32>>>("decode", "rebased", 1);
  add<attention<rebased<64>>>("decode", "rebased", 1);
  add<attention<rebased<16>, chunkwise<>, sum_normalizer, linattn::bf16>>("decode", "rebased", 1);
  // 4096, 1024 and 256 heads: 143, 139 and 138 MB of states.
  add<attention<rebased<16>>>("decode", "rebased", 512);
  add<attention<rebased<32>>>("decode", "rebased", 128);
  add<attention<rebased<64>>>("decode", "rebased", 32);
  shape const one{1, 8, prefill + 1, 64};
  add_case(case_name<attention<rebased<16>>>("decode_loop/in:cache", "rebased", one, 1),
           [=](benchmark::State& state, std::string const& name) {
             time_loop<attention<rebased<16>>>(state, name, one);
           });
  for (int const threads : thread_counts()) {
    add<attention<rebased<16>>>("decode_threads", "rebased", 512, threads);
  }
}

}  // namespace

int main(int argc, char** argv) {
  add_all();
  return run_program(argc, argv);
}
