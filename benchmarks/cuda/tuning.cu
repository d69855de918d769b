// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the numbers of tuning/cuda.hpp cost and gain: cuda_tuning [--shapes BxHxT,...] [--rounds N] [--only
// MAP:HEAD_DIM]. See driver.cuh. Forward and training of each shape in the parallel form, and in the chunkwise form
// with pieces of several lengths: segment_tokens where it is fused, chunk_tokens in phases.
#include "driver.cuh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <type_traits>

namespace {

using namespace linattn_benchmark;

struct swept : linattn::cuda_tuning {
  static std::int64_t chunk_tokens(int, int) noexcept { return tokens; }
  static std::int64_t segment_tokens(int) noexcept { return tokens; }
  static inline std::int64_t tokens = 0;
};

constexpr int longest_pairs = 8192;  // of the parallel form, which is quadratic

struct measure_tuning {
  template <class Map>
  bool operator()(char const* name, machine const& m, shape const& s, int rounds) const {
    using attention = linattn::attention<Map, linattn::chunkwise<>, linattn::sum_normalizer, linattn::bf16>;
    problem<attention> const p(s, m.cache_bytes, tensors::of_training);
    bool right = true;
    constexpr bool fused = linattn::detail::FusedMap<Map>;
    for (int const tokens : {64, 128, 256, 512, 1024, 2048, 4096, 8192}) {
      constexpr int fewest = fused ? 512 : 64;
      constexpr int most = fused ? 8192 : 2048;
      if (tokens == fewest || (tokens > fewest && tokens <= most && tokens / 2 < s.time)) {
        swept::tokens = tokens;
        right = measure<attention>(p, name, m, s, rounds, fused ? "segment_tokens" : "chunk_tokens", tokens) && right;
      }
    }
    if (s.time <= longest_pairs) {
      using parallel = linattn::attention<Map, linattn::parallel, linattn::sum_normalizer, linattn::bf16>;
      right = measure<parallel>(p, name, m, s, rounds, "parallel", s.time) && right;
    }
    return right;
  }

 private:
  template <class Attention, class Problem>
  static bool measure(Problem const& p, char const* name, machine const& m, shape const& s, int rounds,
                      char const* number, int tokens) {
    linattn::cuda_executor<swept> const without{m.stream};
    auto const args = [&](int run) { return p.template arguments<Attention>(run); };
    auto const gradient_args = [&](int run) { return p.template gradient_arguments<Attention>(run); };
    timed_executor<swept> const exec(m, std::max(linattn::workspace_bytes(without, Attention{}, args(0)),
                                                 linattn::workspace_bytes(without, Attention{}, gradient_args(0))));
    auto const forward = [&](int run) { linattn::forward(exec.get(), Attention{}, args(run)); };
    auto const both = [&](int run) {
      forward(run);
      linattn::backward(exec.get(), Attention{}, gradient_args(run));
    };
    both(0);
    check(cudaStreamSynchronize(m.stream), name);
    double const error = std::max(p.error(), p.gradient_error());
    print_case("tuning", name, Attention::map_type::head_dim, s, error);
    std::printf(R"(, "number": "%s", "tokens": %d)", number, tokens);
    if (!(error < accepted_error)) {
      print_failure();
      return false;
    }
    double const forward_ms = median_ms(m.stream, rounds, forward);
    double const ms = median_ms(m.stream, rounds, both);
    std::printf(R"(, "forward_ms": %.5f, "ms": %.5f})"
                "\n",
                forward_ms, ms);
    std::fflush(stdout);
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "cuda_tuning", measure_tuning{},
             {{8, 16, 2048, 64}, {4, 16, 8192, 64}, {1, 16, 8192, 64}, {128, 16, 128, 64}, {32, 16, 512, 64}});
}
