// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times forward. Families: `head` the shapes of the targets; `sweep` speed against the length, three strategies;
// `maps` and `elements` what a map or an element type costs, `fast` what precision::fast gains; `threads` several
// threads of a host against one, `started_threads` those that each call starts.

#include "support/program.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace {

using namespace linattn_benchmark;
using linattn::attention;
using linattn::automatic;
using linattn::chunkwise;
using linattn::normalize;
using linattn::parallel;
using linattn::precision;
using linattn::rebased;
using linattn::sum_normalizer;
using linattn::taylor;

template <class Attention>
void time_forward(benchmark::State& state, std::string const& name, shape const& s, int threads,
                  Attention const& attention, precision products) {
  using map = typename Attention::map_type;
  problem<Attention> p(s, attention);
  auto const args = p.forward_args();
  auto const exec = prepared_executor(name, threads, attention, args, products);
  double const accepted = accepted_error_of<typename Attention::element_type>(products);
  if (!is_right(state, name, accepted, [&] { return p.forward_error(exec); })) {
    return;
  }
  double const peak = ceiling_of(name, threads);
  for (auto _ : state) {
    linattn::forward(exec, attention, args);
    benchmark::ClobberMemory();
  }
  report_work(state, static_cast<double>(s.rows()), is_parallel<Attention> ? pair_flop<map>(s) : state_flop<map>(s),
              peak);
}

template <class Attention>
void add(std::string const& family, std::string const& map, shape const& s, int threads = 1,
         Attention const& attention = {}, precision products = precision::full) {
  add_case(case_name<Attention>(family, map, s, threads), [=](benchmark::State& state, std::string const& name) {
    time_forward(state, name, s, threads, attention, products);
  });
}

template <class Strategy, int HeadDim>
void add_sweep(std::int64_t longest) {
  for (std::int64_t time = 64; time <= longest; time *= 2) {
    std::int64_t const heads = std::clamp<std::int64_t>((std::int64_t{1} << 16) / time, 1, 8);
    add<attention<rebased<HeadDim>, Strategy>>("sweep", "rebased", {1, heads, time, 64});
  }
}

template <int HeadDim>
void add_sweeps() {
  add_sweep<chunkwise<>, HeadDim>(65536);
  add_sweep<automatic, HeadDim>(65536);
  add_sweep<parallel, HeadDim>(16384);
}

template <template <int> class Map, class Strategy>
void add_heads(std::string const& map, std::int64_t time) {
  add<attention<Map<16>, Strategy>>("head", map, {1, 8, time, 64});
  add<attention<Map<32>, Strategy>>("head", map, {1, 8, time, 64});
  add<attention<Map<64>, Strategy>>("head", map, {1, 8, time, 64});
}

template <int HeadDim>
using layer_normed = rebased<HeadDim>;

void add_all() {
  for (std::int64_t const time : {2048, 16384}) {
    add_heads<layer_normed, chunkwise<>>("rebased", time);
    add_heads<taylor, chunkwise<>>("taylor", time);
  }
  add<attention<rebased<16>, parallel>>("head", "rebased", {1, 8, 2048, 64});
  add<attention<rebased<64>, parallel>>("head", "rebased", {1, 8, 2048, 64});
  add_sweeps<16>();
  add_sweeps<32>();
  add_sweeps<64>();

  shape const one{1, 8, 2048, 64};
  add<attention<rebased<16, normalize::none>>>("maps", "square", one);
  add<attention<rebased<16>>>("maps", "layer_norm", one);
  add<attention<rebased<16>>>("maps", "rebased", one, 1, {.map = trained_rebased<16>()});
  add<attention<taylor<16>>>("maps", "taylor", one);
  add<attention<linattn::elu_plus_one<64>>>("maps", "elu_plus_one", one);

  add<attention<rebased<16>>>("elements", "rebased", one);
  using bf16_attention = attention<rebased<16>, chunkwise<>, sum_normalizer, linattn::bf16>;
  add<bf16_attention>("elements", "rebased", one);
  add<attention<rebased<16>, chunkwise<>, sum_normalizer, linattn::f16>>("elements", "rebased", one);
  add<attention<rebased<16>>>("fast", "rebased", one, 1, {}, precision::fast);
  add<bf16_attention>("fast", "rebased", one, 1, {}, precision::fast);

  for (int const threads : thread_counts()) {
    add<attention<rebased<16>>>("threads", "rebased", one, threads);
    add<attention<rebased<16>>>("threads", "rebased", {1, 1, 2048, 64}, threads);
    add<attention<rebased<16>>>("threads", "rebased", {1, 1, 16384, 64}, threads);
    add<attention<rebased<16>>>("threads", "rebased", {1, 1, 131072, 64}, threads);
    add<attention<rebased<64>>>("threads", "rebased", one, threads);
    add<attention<rebased<16>, parallel>>("threads", "rebased", one, threads);
    add<attention<rebased<16>>>("started_threads", "rebased", one, threads);
  }
}

}  // namespace

int main(int argc, char** argv) {
  add_all();
  return run_program(argc, argv);
}
