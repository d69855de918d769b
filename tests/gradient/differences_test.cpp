// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every gradient of every variant that computes in double against central differences of its own forward: no formula of
// the oracle is used.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace linattn_test {
namespace {

constexpr linattn::element_kind in_double = linattn::element_kind::float64;

/// The loss whose gradients backward returns.
double loss(variant const& v, setup const& s, problem const& p, int strategy) {
  forward_run run(v, s, p, in_double);
  run.run(strategy);
  double sum = 0;
  auto const add = [&](std::vector<double> const& result, std::vector<double> const& gradient) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      sum += result[i] * gradient[i];
    }
  };
  add(run.out.gather(), p.grad_out);
  if (s.writes_state()) {
    add(run.final_memory().kv(), p.grad_final_kv);
    add(run.final_memory().k_sum(), p.grad_final_k_sum);
  }
  return sum;
}

class difference_check {
 public:
  difference_check(variant const& v, setup const& s, int strategy)
      : v_(v),
        s_(s),
        strategy_(strategy),
        p_(make_problem(v.map, v.head_dim, v.normalized, s, in_double, true)),
        run_(v, s, p_, in_double) {}

  void check() {
    run_.run(strategy_);
    variable("q", p_.q, run_.grad_q.gather());
    variable("k", p_.k, run_.grad_k.gather());
    variable("v", p_.v, run_.grad_v.gather());
    if (s_.reads_state()) {
      variable("initial kv", p_.initial_kv, run_.grad_initial().kv());
      variable("initial k_sum", p_.initial_k_sum, run_.grad_initial().k_sum());
    }
    parameter_set const& parameters = run_.forward.parameters;
    parameter("gamma_q", p_.gamma_q, p_.gamma_k, parameters.gamma_q);
    parameter("beta_q", p_.beta_q, p_.beta_k, parameters.beta_q);
    if (!parameters.shared) {
      parameter("gamma_k", p_.gamma_k, p_.gamma_q, parameters.gamma_k);
      parameter("beta_k", p_.beta_k, p_.beta_q, parameters.beta_k);
    }
  }

 private:
  /// A few elements, the first and others that follow no pattern of heads or channels.
  void variable(std::string const& name, std::vector<double>& numbers, std::vector<double> const& gradient) {
    CAPTURE(name);
    std::size_t const stride = numbers.size() / 11 + 1;
    for (std::size_t i = 0; i < numbers.size(); i += stride) {
      compare(i, {&numbers[i]}, gradient[i]);
    }
  }

  /// Element i of a parameter moves its copies of all heads at rank 1, and both sides where they share it.
  void parameter(std::string const& name, std::vector<double>& side, std::vector<double>& other,
                 parameter_memory const& memory) {
    CAPTURE(name);
    std::vector<double> const gradient = memory.gather();
    for (std::size_t i = 0; i < gradient.size(); i += gradient.size() > 8 ? 5U : 1U) {
      std::vector<double*> moved;
      for (std::size_t j = i; j < side.size(); j += gradient.size()) {
        moved.push_back(&side[j]);
      }
      for (std::size_t j = i; p_.map.parameters.shared && j < other.size(); j += gradient.size()) {
        moved.push_back(&other[j]);
      }
      compare(i, moved, gradient[i] - 0.5);  // gradients start at 0.5
    }
  }

  void compare(std::size_t i, std::vector<double*> const& moved, double gradient) {
    constexpr double step = 1e-5;
    CAPTURE(i);
    auto const moved_by = [&](double by) {
      std::vector<double> kept;
      for (double* number : moved) {
        kept.push_back(*number);
        *number += by;
      }
      double const value = loss(v_, s_, p_, strategy_);
      for (std::size_t j = 0; j < moved.size(); ++j) {
        *moved[j] = kept[j];
      }
      return value;
    };
    double const difference = (moved_by(step) - moved_by(-step)) / (2 * step);
    CHECK(gradient == doctest::Approx(difference).epsilon(2e-6).scale(1));
  }

  variant v_;
  setup s_;
  int strategy_;
  problem p_;
  backward_run run_;
};

TEST_CASE("all gradients equal central differences of forward in double") {
  setup cases[3];
  cases[0] = {.batch = 2, .heads = 2, .kv_heads = 1, .time = 9, .value_dim = 3};
  cases[1] = {.heads = 4, .kv_heads = 2, .value_dim = 2, .causal = false, .tiled = true, .lengths = {5, 0, 8},
              .state = state_use::both, .save_denominator = true};
  cases[2] = {.heads = 2, .kv_heads = 2, .time = 17, .value_dim = 2, .state = state_use::both};
  for (variant const& v : variants()) {
    CAPTURE(v);
    if (v.head_dim > 20 || !v.map.differentiable || !v.serves_doubles()) {
      continue;
    }
    for (int strategy = 0; strategy < strategy_count; ++strategy) {
      if (v.verbs(strategy, in_double).backward == nullptr) {
        continue;
      }
      std::string const name = strategy_name(strategy);
      CAPTURE(name);
      for (setup s : cases) {
        s.eps = 0.3;  // keeps the quotient smooth enough for differences
        CAPTURE(s);
        difference_check(v, s, strategy).check();
      }
    }
  }
}

}  // namespace
}  // namespace linattn_test
