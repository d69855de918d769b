// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the programs here share: their options, the device with its ceilings, the maps, and main(). They print one JSON
// object a line: the device, then each variant and shape. Exit code 77: no GPU; 1: a wrong answer, which is not timed.
#ifndef LINATTN_BENCHMARKS_CUDA_DRIVER_CUH
#define LINATTN_BENCHMARKS_CUDA_DRIVER_CUH

#include "ceiling.cuh"
#include "problem.cuh"

#include <linattn/cuda.cuh>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace linattn_benchmark {

struct options {
  std::vector<shape> shapes;
  int rounds = 50;
  char const* only = nullptr;  // a map, as "rebased:16"

  [[nodiscard]] bool takes(char const* map, int head_dim) const {
    return only == nullptr || std::string(map) + ":" + std::to_string(head_dim) == only;
  }
};

struct machine {
  cudaStream_t stream = nullptr;
  std::size_t cache_bytes = 0;
  double copy = 0, products = 0;

  /// The least milliseconds for so many bytes through memory and so many flop.
  [[nodiscard]] double roof_ms(double bytes, double flop) const {
    return 1e3 * std::max(bytes / copy, flop / products);
  }
};

/// A generous bound of the relative L2 error: operands are rounded to 8 bits, and errors of independent terms average
/// out. The host executor's are below 3e-3 for outputs and 8e-3 for gradients.
constexpr double accepted_error = 2e-2;

/// A map's attention as it is timed here.
template <class Map>
using timed_attention = linattn::attention<Map, linattn::automatic, linattn::sum_normalizer, linattn::bf16>;

/// An executor with a workspace of its own, so that no allocation is timed.
template <class Selector = linattn::cuda_tuning>
class timed_executor {
 public:
  timed_executor(machine const& m, std::size_t bytes) : executor_{m.stream} {
    if (bytes != 0) {
      check(cudaMalloc(&memory_, bytes), "cudaMalloc");
      executor_.workspace = {memory_, bytes};
    }
  }
  timed_executor(timed_executor const&) = delete;
  timed_executor& operator=(timed_executor const&) = delete;
  ~timed_executor() { static_cast<void>(cudaFree(memory_)); }

  [[nodiscard]] linattn::cuda_executor<Selector> const& get() const { return executor_; }

 private:
  linattn::cuda_executor<Selector> executor_;
  std::byte* memory_ = nullptr;
};

/// The head of a line.
inline void print_case(char const* what, char const* map, int head_dim, shape const& s, double error) {
  std::printf(R"({"what": "%s", "by": "linattn", "map": "%s", "head_dim": %d, "value_dim": %d, "batch": %d, )"
              R"("heads": %d, "time": %d, "error": %.2e)",
              what, map, head_dim, s.value_dim, s.batch, s.heads, s.time, error);
}
/// Its end where the answer is wrong.
inline void print_failure() {
  std::printf(R"(, "failed": "wrong answer"})"
              "\n");
}

inline bool parse(int argc, char** argv, options& o) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0) {
      o.rounds = std::atoi(argv[i + 1]);
    } else if (std::strcmp(argv[i], "--only") == 0) {
      o.only = argv[i + 1];
    } else if (std::strcmp(argv[i], "--shapes") == 0) {
      o.shapes.clear();
      shape s{0, 0, 0, 64};
      int used = 0;
      for (char const* text = argv[i + 1]; std::sscanf(text, "%dx%dx%d%n", &s.batch, &s.heads, &s.time, &used) == 3;) {
        o.shapes.push_back(s);
        text += used;
        text += *text == ',' ? 1 : 0;
      }
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && o.rounds > 0 && !o.shapes.empty();
}

inline machine describe_machine(int rounds) {
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  machine m;
  m.cache_bytes = static_cast<std::size_t>(device.l2CacheSize);
  check(cudaStreamCreate(&m.stream), "cudaStreamCreate");
  m.copy = measure_copy(m.stream, rounds);
  m.products = measure_products(m.stream, rounds, device.multiProcessorCount);
  std::printf(R"({"what": "device", "name": "%s", "sm": %d, "multiprocessors": %d, "copy_bytes_s": %.4e, )"
              R"("mma_sync_bf16_flop_s": %.4e, "linattn": "%d.%d.%d"})"
              "\n",
              device.name, 10 * device.major + device.minor, device.multiProcessorCount, m.copy, m.products,
              LINATTN_VERSION_MAJOR, LINATTN_VERSION_MINOR, LINATTN_VERSION_PATCH);
  return m;
}

/// The program: `measure.operator()<Map>(name, machine, shape, rounds)` times one case, and says whether it was right.
template <class Measure>
int run(int argc, char** argv, char const* program, Measure&& measure,
        std::vector<shape> shapes = {{8, 16, 2048, 64}, {4, 16, 8192, 64}, {1, 16, 32768, 64}}) {
  options o;
  o.shapes = std::move(shapes);
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr, "%s [--shapes BxHxT,...] [--rounds N] [--only MAP:HEAD_DIM]\n", program);
    return 2;
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fputs("skipped: no GPU on this machine\n", stderr);
    return 77;
  }
  try {
    machine const m = describe_machine(o.rounds);
    bool right = true;
    auto const all_shapes = [&]<class Map>(char const* name) {
      if (!o.takes(name, Map::head_dim)) {
        return;
      }
      for (shape const& s : o.shapes) {
        right = measure.template operator()<Map>(name, m, s, o.rounds) && right;
        std::fflush(stdout);
      }
    };
    all_shapes.template operator()<linattn::rebased<16>>("rebased");
    all_shapes.template operator()<linattn::taylor<16>>("taylor");
    all_shapes.template operator()<linattn::elu_plus_one<64>>("elu_plus_one");
    all_shapes.template operator()<linattn::taylor<64>>("taylor");
    return right ? 0 : 1;
  } catch (std::exception const& problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return 1;
  }
}

}  // namespace linattn_benchmark

#endif
