// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The machine's ceiling, measured in the same process as what is compared with it: multiply-adds on registers.
#ifndef LINATTN_BENCHMARKS_SUPPORT_CEILING_HPP
#define LINATTN_BENCHMARKS_SUPPORT_CEILING_HPP

#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <chrono>

namespace linattn_benchmark {

/// Flop a second of one core: independent chains of fused multiply-adds, the best of several short runs.
inline double measure_fma_peak() {
  using vector = linattn::detail::simd<float>;
  constexpr int chains = 12;
  constexpr int rounds = 100'000;
  vector x[chains];  // every loop over it is unrolled, so that it lives in registers
  LINATTN_UNROLL
  for (int i = 0; i < chains; ++i) {
    x[i] = vector(static_cast<float>(i));
  }
  vector const factor(0.999F);
  vector const term(0.001F);
  double best = 0;
  for (int run = 0; run < 10; ++run) {
    auto const begin = std::chrono::steady_clock::now();
    for (int round = 0; round < rounds; ++round) {
      LINATTN_UNROLL
      for (int i = 0; i < chains; ++i) {
        auto next = multiply_add(x[i], factor, term).v;
#if defined(__AVX512F__)
        asm volatile("" : "+v"(next));  // keeps the chain in a register, and the loop alive
#elif defined(__SSE2__)
        asm volatile("" : "+x"(next));
#endif
        x[i] = vector::from(next);
      }
    }
    std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 2.0 * vector::width * chains * rounds / seconds.count());
  }
  vector sum(0.0F);
  LINATTN_UNROLL
  for (int i = 0; i < chains; ++i) {
    sum = sum + x[i];
  }
  float volatile sink = sum_of_lanes(sum);
  static_cast<void>(sink);
  return best;
}

}  // namespace linattn_benchmark

#endif
