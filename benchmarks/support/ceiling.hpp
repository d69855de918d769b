// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The machine's ceilings, measured in the same process as what is compared with them: multiply-adds on registers, and
// memory that is read and written back.
#ifndef LINATTN_BENCHMARKS_SUPPORT_CEILING_HPP
#define LINATTN_BENCHMARKS_SUPPORT_CEILING_HPP

#include <linattn/cpu/simd.hpp>

#include <time.h>  // clock_gettime

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <thread>
#include <vector>

namespace linattn_benchmark {

/// Seconds that this thread has had of its core, as Google Benchmark counts them: on a shared machine, others' turns
/// are not counted, neither in a ceiling nor in what is compared with it.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

namespace detail {

/// Runs independent chains of fused multiply-adds for a fraction of a millisecond; returns how many flop that was.
inline double fma_run() {
  using vector = linattn::detail::simd<float>;
  constexpr int chains = 12;
  constexpr int rounds = 200'000;
  vector x[chains];  // every loop over it is unrolled, so that it lives in registers
  LINATTN_UNROLL
  for (int i = 0; i < chains; ++i) {
    x[i] = vector(static_cast<float>(i));
  }
  vector const factor(0.999F);
  vector const term(0.001F);
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
  vector sum(0.0F);
  LINATTN_UNROLL
  for (int i = 0; i < chains; ++i) {
    sum = sum + x[i];
  }
  float volatile sink = sum_of_lanes(sum);
  static_cast<void>(sink);
  return 2.0 * vector::width * chains * rounds;
}

}  // namespace detail

/// Flop a second of one thread: fused multiply-adds on registers, the best of several short runs.
inline double measure_fma_peak() {
  double best = 0;
  for (int run = 0; run < 10; ++run) {
    double const begin = thread_seconds();
    double const flop = detail::fma_run();
    best = std::max(best, flop / (thread_seconds() - begin));
  }
  return best;
}

/// The same of so many threads at once by the wall clock, over a tenth of a second: what the machine gives them now.
/// Less than their number where they share a core's multipliers, or a core with other programs.
inline double measure_fma_throughput(int threads) {
  constexpr double least_seconds = 0.1;
  std::vector<double> flop(static_cast<std::size_t>(threads));
  auto const begin = std::chrono::steady_clock::now();
  auto const seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  {
    std::vector<std::jthread> workers;
    for (double& done : flop) {
      workers.emplace_back([&done, &seconds] {
        while (seconds() < least_seconds) {
          done += detail::fma_run();
        }
      });
    }
  }
  return std::accumulate(flop.begin(), flop.end(), 0.0) / seconds();
}

/// Bytes a second of one thread through memory, as a decoding step uses it: 256 MiB are read, changed and written back
/// in place, and both ways count. The best of three passes.
inline double measure_bandwidth() {
  using vector = linattn::detail::simd<float>;
  static std::vector<float> memory(std::size_t{1} << 26U, 1.0F);
  vector const factor(0.999F);
  vector const term(0.001F);
  double best = 0;
  for (int run = 0; run < 3; ++run) {
    double const begin = thread_seconds();
    for (std::size_t i = 0; i < memory.size(); i += std::size_t{vector::width}) {
      multiply_add(vector::load(memory.data() + i), factor, term).store(memory.data() + i);
    }
    double const seconds = thread_seconds() - begin;
    best = std::max(best, 2.0 * sizeof(float) * static_cast<double>(memory.size()) / seconds);
  }
  return best;
}

}  // namespace linattn_benchmark

#endif
