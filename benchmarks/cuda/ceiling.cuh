// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The device's ceilings, measured in the process whose times they are compared with: copying memory, and products of
// bf16 by mma.sync from registers. And how a time is measured here.
#ifndef LINATTN_BENCHMARKS_CUDA_CEILING_CUH
#define LINATTN_BENCHMARKS_CUDA_CEILING_CUH

#include <linattn/simt/launch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace linattn_benchmark {

inline void check(cudaError_t status, char const* what) {
  if (status != cudaSuccess) {
    std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
    std::exit(1);
  }
}

/// The median of `rounds` runs in milliseconds, after a few that do not count. Runs are enqueued without waiting, so
/// the host's part shows only where it is slower than the device. `run(i)` enqueues run number i.
template <class Run>
double median_ms(cudaStream_t stream, int rounds, Run&& run) {
  std::vector<cudaEvent_t> events(static_cast<std::size_t>(rounds) + 1);
  for (cudaEvent_t& event : events) {
    check(cudaEventCreate(&event), "cudaEventCreate");
  }
  constexpr int warm_up = 5;
  for (int i = 0; i < warm_up; ++i) {
    run(i);
  }
  check(cudaEventRecord(events[0], stream), "cudaEventRecord");
  for (int i = 0; i < rounds; ++i) {
    run(warm_up + i);
    check(cudaEventRecord(events[static_cast<std::size_t>(i) + 1], stream), "cudaEventRecord");
  }
  check(cudaStreamSynchronize(stream), "the measured runs");
  std::vector<double> times;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, events[i], events[i + 1]), "cudaEventElapsedTime");
    times.push_back(static_cast<double>(ms));
  }
  for (cudaEvent_t const event : events) {
    static_cast<void>(cudaEventDestroy(event));
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Bytes a second, read and written, of a copy much larger than the L2 cache.
inline double measure_copy(cudaStream_t stream, int rounds) {
  constexpr std::size_t bytes = std::size_t{1} << 30;
  void* from = nullptr;
  void* to = nullptr;
  check(cudaMalloc(&from, bytes), "cudaMalloc");
  check(cudaMalloc(&to, bytes), "cudaMalloc");
  check(cudaMemset(from, 0, bytes), "cudaMemset");
  double const ms = median_ms(stream, rounds, [&](int /*run*/) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
  });
  static_cast<void>(cudaFree(from));
  static_cast<void>(cudaFree(to));
  return 2.0 * static_cast<double>(bytes) / (ms * 1e-3);
}

/// Independent chains of products on registers.
struct product_kernel {
  static constexpr int kThreads = 256, kMinBlocks = 2, chains = 8, rounds = 4096;
  struct Params {
    float* sink;
  };
  struct Shared {};

  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float c[chains][4] = {};
    auto const seed = static_cast<std::uint32_t>(linattn::simt::lane());
    std::uint32_t const a[4] = {seed, seed + 1, seed + 2, seed + 3};
#pragma unroll 1
    for (int round = 0; round < rounds; ++round) {
#pragma unroll
      for (int i = 0; i < chains; ++i) {
        linattn::simt::mma_m16n8k16_bf16(c[i], a, seed, seed + 4);
      }
    }
    float sum = 0;
#pragma unroll
    for (int i = 0; i < chains; ++i) {
      sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    }
    if (sum == 1.5F) {  // never: keeps the products alive
      *p.sink = sum;
    }
  }
};

/// Flop a second of mma.sync in bf16. On sm_90 and newer, other instructions reach more.
inline double measure_products(cudaStream_t stream, int rounds, int multiprocessors) {
  float* sink = nullptr;
  check(cudaMalloc(&sink, sizeof(float)), "cudaMalloc");
  auto const blocks = static_cast<unsigned>(8 * multiprocessors);
  double const ms = median_ms(stream, rounds, [&](int /*run*/) {
    auto const started = linattn::simt::launch<product_kernel>({blocks, 1, 1}, {sink}, stream);
    check(started.code(), "product_kernel");
  });
  static_cast<void>(cudaFree(sink));
  double const flop = 2.0 * 16 * 8 * 16 * product_kernel::chains * product_kernel::rounds;
  return flop * blocks * (product_kernel::kThreads / 32) / (ms * 1e-3);
}

}  // namespace linattn_benchmark

#endif
