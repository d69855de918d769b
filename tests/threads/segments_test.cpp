// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A sequence of several segments, which threads may share, against the oracle: outputs, states and all gradients. The bits
// tests show that every way of computing one gives the same numbers; this one, that they are the right ones.
#include "support/run.hpp"

#include <linattn/tuning/cpu.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace linattn_test {
namespace {

constexpr int chunkwise_default = 0;
constexpr std::int64_t ragged = linattn::detail::cpu_tuning::segment_tokens + 531;  // two segments, the second short

setup long_setup(bool causal) {
  setup s{};
  s.time = ragged;
  s.value_dim = 1;
  s.causal = causal;
  s.state = state_use::both;
  return s;
}

TEST_CASE("a sequence of several segments equals the O(T^2) oracle, forward and backward, on one thread and on three") {
  variant const v = variant_named("rebased", 3);
  for (bool causal : {true, false}) {
    CAPTURE(causal);
    setup const s = long_setup(causal);
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, linattn::element_kind::float32, true);
    forward_result const want = oracle_forward(p);
    for (int threads : {1, 3}) {
      CAPTURE(threads);
      forward_run run(v, s, p, linattn::element_kind::float32);
      run.executor.threads = threads;
      run.run(chunkwise_default);
      run.check(want);
    }
    backward_run run(v, s, p, linattn::element_kind::float32);
    run.forward.executor.threads = causal ? 3 : 1;  // the bits tests: the same for any number
    run.run(chunkwise_default);
    run.check();
  }
}

}  // namespace
}  // namespace linattn_test
