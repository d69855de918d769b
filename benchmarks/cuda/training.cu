// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times forward and backward on a GPU in bf16, as a training step calls them: cuda_training [--shapes BxHxT,...]
// [--rounds N] [--only MAP:HEAD_DIM]. See driver.cuh. "ms" is both, "forward_ms" forward alone, which saves its
// denominators for backward.
#include "driver.cuh"

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace {

using namespace linattn_benchmark;

struct measure_training {
  template <class Map>
  bool operator()(char const* name, machine const& m, shape const& s, int rounds) const {
    using attention = timed_attention<Map>;
    problem<attention> const p(s, m.cache_bytes, tensors::of_training);
    linattn::cuda_executor<> const without{m.stream};
    std::size_t const forward_bytes = linattn::workspace_bytes(without, attention{}, p.arguments(0));
    std::size_t const backward_bytes = linattn::workspace_bytes(without, attention{}, p.gradient_arguments(0));
    timed_executor<> const exec(m, std::max(forward_bytes, backward_bytes));
    auto const forward = [&](int run) { linattn::forward(exec.get(), attention{}, p.arguments(run)); };
    auto const both = [&](int run) {
      forward(run);
      linattn::backward(exec.get(), attention{}, p.gradient_arguments(run));
    };
    both(0);
    check(cudaStreamSynchronize(m.stream), name);
    double const error = p.gradient_error();
    print_case("training", name, Map::head_dim, s, error);
    if (!(error < accepted_error)) {
      print_failure();
      return false;
    }
    double const ms = median_ms(m.stream, rounds, both);
    double const forward_ms = median_ms(m.stream, rounds, forward);
    // What no implementation can do without: forward reads q, k, v and writes out; backward reads those four and
    // grad_out, and writes three gradients. Products with a state or into one: two forward, four backward.
    double const rows = static_cast<double>(s.rows());
    double const roof =
        m.roof_ms(rows * 2 * (6 * Map::head_dim + 6 * s.value_dim), rows * 12 * Map::feature_dim * s.value_dim);
    std::printf(R"(, "ms": %.5f, "ns_token_head": %.4f, "roof_share": %.4f, "forward_ms": %.5f, )"
                R"("times_forward": %.3f, "workspace_bytes": %zu, "forward_workspace_bytes": %zu})"
                "\n",
                ms, 1e6 * ms / rows, roof / ms, forward_ms, ms / forward_ms, backward_bytes, forward_bytes);
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) { return run(argc, argv, "cuda_training", measure_training{}); }
