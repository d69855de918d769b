// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A sequence of several segments, which threads may share, against the oracle: outputs, states and all gradients. The bits
// tests show that every way of computing one gives the same numbers; this one, that they are the right ones.
#include "support/run.hpp"

#include <linattn/tuning/cpu.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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

/// Of one head, so that rank 1 and rank 2 are the same; gradients start at 0.5.
void check_closely(std::string const& name, parameter_memory const& parameter, tracked_vector const& want) {
  CAPTURE(name);
  std::vector<double> const got = parameter.gather();
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] - 0.5 == doctest::Approx(want[i].value).epsilon(1e-7).scale(0.01));
  }
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
    problem const exact = make_problem(v.map, v.head_dim, v.normalized, s, linattn::element_kind::float64, true);
    backward_run run(v, s, exact, linattn::element_kind::float64);
    run.forward.executor.threads = causal ? 3 : 1;  // the bits tests: the same for any number
    run.run(chunkwise_default);
    run.check();
    // The bound of a parameter's sum over all tokens is wide enough to hide a lost segment; double allows a closer look.
    backward_result const gradients = oracle_backward(exact);
    parameter_set const& parameters = run.forward.parameters;
    check_closely("gamma_q", parameters.gamma_q, gradients.grad_gamma_q);
    check_closely("beta_q", parameters.beta_q, gradients.grad_beta_q);
    check_closely("gamma_k", parameters.gamma_k, gradients.grad_gamma_k);
    check_closely("beta_k", parameters.beta_k, gradients.grad_beta_k);
  }
}

}  // namespace
}  // namespace linattn_test
