// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times forward on a GPU in bf16: cuda_forward [--shapes BxHxT,...] [--rounds N]. Prints one JSON object a line: the
// device's ceilings, then each variant and shape. No wrong answer is timed. Exit code 77: no GPU.
#include "problem.cuh"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

namespace {

using namespace linattn_benchmark;

struct options {
  std::vector<shape> shapes{{8, 16, 2048, 64}, {4, 16, 8192, 64}, {1, 16, 32768, 64}};
  int rounds = 50;
};

struct machine {
  cudaStream_t stream = nullptr;
  std::size_t cache_bytes = 0;
  double copy = 0, products = 0;
};

/// A generous bound: operands are rounded to 8 bits, and errors of independent terms average out.
constexpr double accepted_error = 2e-2;

template <class Map>
bool measure(char const* name, machine const& m, options const& o) {
  using attention = linattn::attention<Map, linattn::automatic, linattn::sum_normalizer, linattn::bf16>;
  bool right = true;
  for (shape const& s : o.shapes) {
    problem<attention> const p(s, m.cache_bytes);
    linattn::cuda_executor<> exec{m.stream};
    std::size_t const workspace = linattn::workspace_bytes(exec, attention{}, p.arguments(0));
    std::byte* memory = nullptr;
    if (workspace != 0) {  // of our own: no allocation is timed
      check(cudaMalloc(&memory, workspace), "cudaMalloc");
      exec.workspace = {memory, workspace};
    }
    linattn::forward(exec, attention{}, p.arguments(0));
    check(cudaStreamSynchronize(m.stream), name);
    double const error = p.error();
    std::printf(R"({"what": "forward", "by": "linattn", "map": "%s", "head_dim": %d, "value_dim": %d, "batch": %d, )"
                R"("heads": %d, "time": %d, "error": %.2e)",
                name, Map::head_dim, s.value_dim, s.batch, s.heads, s.time, error);
    if (error < accepted_error) {
      double const ms =
          median_ms(m.stream, o.rounds, [&](int run) { linattn::forward(exec, attention{}, p.arguments(run)); });
      // What no implementation can do without: each tensor once through memory, and the state's products.
      double const rows = static_cast<double>(s.rows());
      double const bytes = rows * 2 * (2 * Map::head_dim + 2 * s.value_dim);
      double const flop = rows * 4 * Map::feature_dim * s.value_dim;
      double const roof = 1e3 * std::fmax(bytes / m.copy, flop / m.products);
      std::printf(R"(, "ms": %.5f, "ns_token_head": %.4f, "roof_share": %.4f, "workspace_bytes": %zu})" "\n", ms,
                  1e6 * ms / rows, roof / ms, workspace);
    } else {
      right = false;
      std::printf(R"(, "failed": "wrong answer"})" "\n");
    }
    std::fflush(stdout);
    static_cast<void>(cudaFree(memory));
  }
  return right;
}

bool parse(int argc, char** argv, options& o) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0) {
      o.rounds = std::atoi(argv[i + 1]);
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

}  // namespace

int main(int argc, char** argv) {
  options o;
  if (!parse(argc, argv, o)) {
    std::fputs("cuda_forward [--shapes BxHxT,...] [--rounds N]\n", stderr);
    return 2;
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fputs("skipped: no GPU on this machine\n", stderr);
    return 77;
  }
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  machine m;
  m.cache_bytes = static_cast<std::size_t>(device.l2CacheSize);
  check(cudaStreamCreate(&m.stream), "cudaStreamCreate");
  m.copy = measure_copy(m.stream, o.rounds);
  m.products = measure_products(m.stream, o.rounds, device.multiProcessorCount);
  std::printf(R"({"what": "device", "name": "%s", "sm": %d, "multiprocessors": %d, "copy_bytes_s": %.4e, )"
              R"("mma_sync_bf16_flop_s": %.4e, "linattn": "%d.%d.%d"})" "\n",
              device.name, 10 * device.major + device.minor, device.multiProcessorCount, m.copy, m.products,
              LINATTN_VERSION_MAJOR, LINATTN_VERSION_MINOR, LINATTN_VERSION_PATCH);
  try {
    bool right = measure<linattn::rebased<16>>("rebased", m, o);
    right = measure<linattn::taylor<16>>("taylor", m, o) && right;
    right = measure<linattn::elu_plus_one<64>>("elu_plus_one", m, o) && right;
    right = measure<linattn::taylor<64>>("taylor", m, o) && right;
    return right ? 0 : 1;
  } catch (std::exception const& problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return 1;
  }
}
