// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times forward on a GPU in bf16: cuda_forward [--shapes BxHxT,...] [--rounds N] [--only MAP:HEAD_DIM]. See driver.cuh.
#include "driver.cuh"

#include <cstddef>
#include <cstdio>

namespace {

using namespace linattn_benchmark;

struct measure_forward {
  template <class Map>
  bool operator()(char const* name, machine const& m, shape const& s, int rounds) const {
    using attention = timed_attention<Map>;
    problem<attention> const p(s, m.cache_bytes, tensors::of_forward);
    std::size_t const workspace =
        linattn::workspace_bytes(linattn::cuda_executor<>{m.stream}, attention{}, p.arguments(0));
    timed_executor<> const exec(m, workspace);
    linattn::forward(exec.get(), attention{}, p.arguments(0));
    check(cudaStreamSynchronize(m.stream), name);
    double const error = p.error();
    print_case("forward", name, Map::head_dim, s, error);
    if (!(error < accepted_error)) {
      print_failure();
      return false;
    }
    double const ms =
        median_ms(m.stream, rounds, [&](int run) { linattn::forward(exec.get(), attention{}, p.arguments(run)); });
    // What no implementation can do without: each tensor once through memory, and the state's products.
    double const rows = static_cast<double>(s.rows());
    double const roof =
        m.roof_ms(rows * 2 * (2 * Map::head_dim + 2 * s.value_dim), rows * 4 * Map::feature_dim * s.value_dim);
    std::printf(R"(, "ms": %.5f, "ns_token_head": %.4f, "roof_share": %.4f, "workspace_bytes": %zu})"
                "\n",
                ms, 1e6 * ms / rows, roof / ms, workspace);
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) { return run(argc, argv, "cuda_forward", measure_forward{}); }
