// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What 05_train_rebased.cpp runs on: the CPU or, if nvcc compiles it, a CUDA stream, in memory that host and device both
// read. A larger training would keep its numbers on the device and compute its loss there.
#pragma once

#if defined(__CUDACC__)
#include <linattn/cuda.cuh>
#else
#include <linattn/linattn.hpp>
#endif

#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

namespace example {

#if defined(__CUDACC__)

inline void check(cudaError_t status) {
  if (status != cudaSuccess) {
    throw std::runtime_error(cudaGetErrorString(status));
  }
}

template <class T>
struct managed_memory {
  using value_type = T;

  T* allocate(std::size_t count) {
    void* data = nullptr;
    check(cudaMallocManaged(&data, count * sizeof(T)));
    return static_cast<T*>(data);
  }
  void deallocate(T* data, std::size_t /*count*/) { static_cast<void>(cudaFree(data)); }

  bool operator==(managed_memory const&) const = default;
};

using numbers = std::vector<float, managed_memory<float>>;

class backend {
 public:
  backend() { check(cudaStreamCreate(&stream_)); }
  backend(backend const&) = delete;
  backend& operator=(backend const&) = delete;
  ~backend() { static_cast<void>(cudaStreamDestroy(stream_)); }

  static bool is_there() {
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  }
  linattn::cuda_executor<> executor() const { return {stream_}; }
  /// The calls only enqueue: before the host reads what they wrote, or writes what they read, it waits.
  void wait() const { check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

#else

using numbers = std::vector<float>;

struct backend {
  static bool is_there() { return true; }
  static linattn::cpu_executor executor() { return {}; }
  static void wait() {}  // the calls return when they are done
};

#endif

/// Runs the program; returns its exit code, or 77 where there is nothing to run it on.
inline int run_on_backend(int (*program)(backend const& device)) {
  if (!backend::is_there()) {
    std::puts("skipped: no GPU on this machine");
    return 77;
  }
  try {
    return program(backend());
  } catch (std::exception const& problem) {
    std::puts(problem.what());
    return 1;
  }
}

}  // namespace example
