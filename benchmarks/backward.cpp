// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times backward, as a training step calls it: forward saved out and the denominators. Forward is timed beside it, so
// that their ratio is of one process. Families: `training` maps and element types; `training_threads` several threads.

#include "support/program.hpp"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

namespace {

using namespace linattn_benchmark;
using linattn::attention;
using linattn::chunkwise;
using linattn::parallel;
using linattn::rebased;
using linattn::sum_normalizer;
using linattn::taylor;

/// Gradients of rows lose digits where terms cancel; tests/gradient bounds them element by element.
template <class Attention>
constexpr double accepted = 5 * accepted_error<typename Attention::element_type>;

template <class Attention>
void time_pass(benchmark::State& state, std::string const& name, shape const& s, int threads,
               Attention const& attention, bool backward) {
  using map = typename Attention::map_type;
  problem<Attention> p(s, attention);
  auto const forward_args = p.forward_args();
  auto const args = p.backward_args();
  linattn::cpu_executor const exec = backward ? prepared_executor(name, threads, attention, args)
                                              : prepared_executor(name, threads, attention, forward_args);
  if (!is_right(state, name, accepted<Attention>,
                [&] { return backward ? p.backward_error(exec) : p.forward_error(exec); })) {
    return;
  }
  double const peak = ceiling_of(name, threads);
  linattn::forward(exec, attention, forward_args);  // of this shape: other cases have used the memory
  for (auto _ : state) {
    if (backward) {
      linattn::backward(exec, attention, args);
    } else {
      linattn::forward(exec, attention, forward_args);
    }
    benchmark::ClobberMemory();
  }
  // Backward: the state by keys, its gradient by queries, and of each two products: 10 D V flop; or a pair's products,
  // three of d (q k^T, grad q, grad k) and two of V (grad_out v^T, grad v).
  double const pairs = static_cast<double>((s.time + 1) * (3 * map::head_dim + 2 * s.value_dim));
  double const forward_flop = is_parallel<Attention> ? pair_flop<map>(s) : state_flop<map>(s);
  double const backward_flop = is_parallel<Attention> ? pairs : 2.5 * state_flop<map>(s);
  report_work(state, static_cast<double>(s.rows()), backward ? backward_flop : forward_flop, peak);
}

template <class Attention>
void add(std::string const& family, std::string const& map, shape const& s, int threads = 1,
         Attention const& attention = {}) {
  for (bool const backward : {false, true}) {
    add_case(case_name<Attention>(family + (backward ? "/pass:backward" : "/pass:forward"), map, s, threads),
             [=](benchmark::State& state, std::string const& name) {
               time_pass(state, name, s, threads, attention, backward);
             });
  }
}

void add_all() {
  shape const one{1, 8, 2048, 64};
  add<attention<rebased<16>>>("training", "layer_norm", one);
  add<attention<rebased<16>>>("training", "rebased", one, 1, {.map = trained_rebased<16>()});
  add<attention<taylor<16>>>("training", "taylor", one);
  add<attention<rebased<32>>>("training", "layer_norm", one);
  add<attention<rebased<64>>>("training", "layer_norm", one);
  add<attention<rebased<16>, parallel>>("training", "layer_norm", one);
  add<attention<rebased<16>>>("training", "layer_norm", {1, 8, 16384, 64});
  add<attention<rebased<16>, chunkwise<>, sum_normalizer, linattn::bf16>>("training", "layer_norm", one);
  add<attention<rebased<16>, chunkwise<>, sum_normalizer, linattn::f16>>("training", "layer_norm", one);
  for (int const threads : thread_counts()) {
    add<attention<rebased<16>>>("training_threads", "layer_norm", one, threads);
    add<attention<rebased<16>>>("training_threads", "layer_norm", {1, 1, 16384, 64}, threads);
  }
}

}  // namespace

int main(int argc, char** argv) {
  add_all();
  return run_program(argc, argv);
}
