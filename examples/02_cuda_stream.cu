// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Causal Based attention on a CUDA stream, with cuda::std::mdspan arguments. Checks itself against the CPU engine;
// exits with 77 where there is no GPU.
#include <linattn/cuda.cuh>

#include <cuda/std/mdspan>
#include <thrust/device_vector.h>
#include <thrust/host_vector.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <random>

namespace example {

constexpr int batch = 2, heads = 3, time = 200, value_dim = 64;
using based = linattn::attention<linattn::taylor<16>>;

thrust::host_vector<float> random_numbers(int count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  thrust::host_vector<float> numbers(static_cast<std::size_t>(count));
  std::generate(numbers.begin(), numbers.end(), [&] { return normal(engine); });
  return numbers;
}

/// (batch, head, time, channel), in that order in memory too.
template <class T>
auto mdspan_of(T* data, int channels) {
  return cuda::std::mdspan<T, cuda::std::dextents<int, 4>>(data, batch, heads, time, channels);
}

/// The largest difference between the GPU's and the CPU's output.
float difference() {
  constexpr int rows = batch * heads * time;
  thrust::host_vector<float> const q = random_numbers(rows * 16, 1);
  thrust::host_vector<float> const k = random_numbers(rows * 16, 2);
  thrust::host_vector<float> const v = random_numbers(rows * value_dim, 3);
  thrust::device_vector<float> const device_q = q;
  thrust::device_vector<float> const device_k = k;
  thrust::device_vector<float> const device_v = v;
  thrust::device_vector<float> device_out(v.size());
  auto const q_mdspan = mdspan_of(device_q.data().get(), 16);
  auto const k_mdspan = mdspan_of(device_k.data().get(), 16);
  auto const v_mdspan = mdspan_of(device_v.data().get(), value_dim);
  auto const out_mdspan = mdspan_of(device_out.data().get(), value_dim);

  cudaStream_t stream = nullptr;
  if (cudaStreamCreate(&stream) != cudaSuccess) {
    std::puts("no stream could be created");
    return INFINITY;
  }
  linattn::forward(linattn::cuda_executor<>{stream}, based{},
                   {.q = q_mdspan, .k = k_mdspan, .v = v_mdspan, .out = out_mdspan});
  cudaError_t const failed = cudaStreamSynchronize(stream);  // forward itself never waits
  cudaStreamDestroy(stream);
  if (failed != cudaSuccess) {
    std::printf("CUDA: %s\n", cudaGetErrorString(failed));
    return INFINITY;
  }

  thrust::host_vector<float> const out = device_out;
  thrust::host_vector<float> expected(v.size());
  linattn::forward(linattn::cpu_executor{}, based{},
                   {.q = mdspan_of(q.data(), 16),
                    .k = mdspan_of(k.data(), 16),
                    .v = mdspan_of(v.data(), value_dim),
                    .out = mdspan_of(expected.data(), value_dim)});
  float largest = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    largest = std::fmax(largest, std::isfinite(out[i]) ? std::fabs(out[i] - expected[i]) : INFINITY);
  }
  return largest;
}

}  // namespace example

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: no GPU on this machine");
    return 77;
  }
  try {
    float const error = example::difference();
    std::printf("largest difference to the CPU engine: %.1e\n", static_cast<double>(error));
    return error < 5e-3F ? 0 : 1;  // products of tf32: 11 bits
  } catch (std::exception const& problem) {
    std::puts(problem.what());
    return 1;
  }
}
