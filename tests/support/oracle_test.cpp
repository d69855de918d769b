// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The oracle checked by itself: against values worked out by hand, and its gradients against finite differences.
#include "support/oracle.hpp"
#include "support/registry.hpp"
#include "support/setup.hpp"

#include <linattn/core/element.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

namespace linattn_test {
namespace {

using linattn::element_kind;

/// The loss whose gradients oracle_backward() returns.
double loss(problem const& p) {
  forward_result const r = oracle_forward(p);
  double sum = 0;
  for (std::size_t i = 0; i < r.out.size(); ++i) {
    sum += r.out[i].value * p.grad_out[i];
  }
  for (std::size_t i = 0; i < p.grad_final_kv.size(); ++i) {
    sum += r.kv[i].value * p.grad_final_kv[i];
  }
  for (std::size_t i = 0; i < p.grad_final_k_sum.size(); ++i) {
    sum += r.k_sum[i].value * p.grad_final_k_sum[i];
  }
  return sum;
}

/// Central differences by every number in `variable`, a member of p.
void check_differences(char const* name, problem& p, std::vector<double>& variable, tracked_vector const& gradient) {
  constexpr double step = 1e-5;
  CAPTURE(name);
  for (std::size_t i = 0; i < variable.size(); ++i) {
    CAPTURE(i);
    double const kept = variable[i];
    variable[i] = kept + step;
    double const above = loss(p);
    variable[i] = kept - step;
    double const below = loss(p);
    variable[i] = kept;
    double const difference = (above - below) / (2 * step);
    CHECK(gradient[i].value == doctest::Approx(difference).epsilon(1e-5));
  }
}

TEST_CASE("the oracle's outputs are those worked out by hand") {
  problem p;
  p.map = recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}};
  p.time = 2;
  p.q = {1, 2};
  p.k = {3, -1};
  p.v = {10, 20};
  p.eps = 0;
  forward_result const r = oracle_forward(p);
  // score(s) = 1 + s + s^2/2: w_00 = 1 + 3 + 4.5; w_10 = 1 + 6 + 18; w_11 = 1 - 2 + 2.
  CHECK(r.denominator[0].value == doctest::Approx(8.5));
  CHECK(r.out[0].value == doctest::Approx(10));
  CHECK(r.denominator[1].value == doctest::Approx(26));
  CHECK(r.out[1].value == doctest::Approx((25 * 10 + 1 * 20) / 26.0));
  // Features 1, x, x^2 / sqrt 2.
  CHECK(r.k_sum[1].value == doctest::Approx(2));
  CHECK(r.kv[2].value == doctest::Approx((9 * 10 + 1 * 20) / std::sqrt(2.0)));
}

TEST_CASE("the oracle's LayerNorm and parameters are those worked out by hand") {
  problem p;
  p.map = recipe{"rebased", preparation::layer_norm, {0, 0, 1, 0}};
  p.head_dim = 2;
  p.layer_norm_eps = 0;
  p.gamma_q = {2, 3};
  p.beta_q = {0.5, -0.5};
  tracked_vector const row = oracle_prepare(p, true, {5, 1});  // LN: 1, -1
  double const root = std::pow(2.0, -0.25);
  CHECK(row[0].value == doctest::Approx(2.5 * root));
  CHECK(row[1].value == doctest::Approx(-3.5 * root));
}

TEST_CASE("the features of every recipe obey the law on prepared rows") {
  auto const check = [](auto, auto head_dims, auto, recipe const& map) {
    CAPTURE(std::string(map.name));
    for_each_head_dim(head_dims, [&](auto head_dim) {
      setup s{};
      s.heads = s.kv_heads = 1;
      problem const p = make_problem(map, head_dim, true, s, element_kind::float64);
      tracked_vector const x = oracle_prepare(p, true, p.q);
      tracked_vector const y = oracle_prepare(p, false, p.k);
      double product = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        product += x[i].value * y[i].value;
      }
      double score = 0;
      for (int power = 3; power >= 0; --power) {
        score = score * product + map.coefficients[power];
      }
      double sum = 0;
      for (monomial const& m : monomials_of(map, head_dim)) {
        double term = m.coefficient * m.coefficient;
        for (int i : m.coordinates) {
          term *= x[static_cast<std::size_t>(i)].value * y[static_cast<std::size_t>(i)].value;
        }
        sum += term;
      }
      CHECK(sum == doctest::Approx(score).epsilon(1e-10));
    });
  };
  visit_all_maps(check);
}

TEST_CASE("the oracle's gradients are the finite differences of its forward, for every map and axis") {
  setup cases[5];
  cases[0] = {.batch = 2, .heads = 2, .kv_heads = 1, .time = 3, .value_dim = 2};
  cases[1] = {.heads = 2, .kv_heads = 2, .time = 4, .value_dim = 1, .causal = false, .state = state_use::both};
  cases[2] = {.heads = 4, .kv_heads = 2, .value_dim = 2, .tiled = true, .lengths = {2, 0, 3}, .state = state_use::both};
  cases[3] = {.time = 3, .value_dim = 2, .state = state_use::final};
  cases[4] = {.time = 3, .value_dim = 2, .causal = false, .state = state_use::initial};
  auto const check = [&](auto, auto head_dims, auto normalizer, recipe const& map) {
    CAPTURE(std::string(map.name));
    bool const normalized = decltype(normalizer)::type::needs_denominator;
    for_each_head_dim(head_dims, [&](auto head_dim) {
      if (!map.differentiable || head_dim > 5) {
        return;
      }
      for (setup s : cases) {
        s.eps = 0.3;  // keeps the quotient smooth enough for differences
        CAPTURE(s);
        problem p = make_problem(map, head_dim, normalized, s, element_kind::float64, true);
        backward_result const r = oracle_backward(p);
        check_differences("q", p, p.q, r.grad_q);
        check_differences("k", p, p.k, r.grad_k);
        check_differences("v", p, p.v, r.grad_v);
        check_differences("gamma_q", p, p.gamma_q, r.grad_gamma_q);
        check_differences("beta_q", p, p.beta_q, r.grad_beta_q);
        check_differences("gamma_k", p, p.gamma_k, r.grad_gamma_k);
        check_differences("beta_k", p, p.beta_k, r.grad_beta_k);
        check_differences("initial kv", p, p.initial_kv, r.grad_kv);
        check_differences("initial k_sum", p, p.initial_k_sum, r.grad_k_sum);
      }
    });
  };
  visit_all_maps(check);
  // The shapes that the registry lists at larger head_dims only.
  check(map_tag<maps::rebased_none>{}, dims<3>, sum,
        recipe{"affine", preparation::affine, {0, 0, 1, 0}, {.gamma = true, .beta = true, .rank = 2, .shared = false}});
  check(map_tag<maps::rebased_joint>{}, dims<3>, sum,
        recipe{"joint", preparation::layer_norm_all_heads, {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 2, .shared = false}});
  check(map_tag<maps::identity>{}, dims<3>, unnormalized, recipe{"identity", preparation::as_is, {0, 1, 0, 0}});
  check(map_tag<maps::elu_plus_one>{}, dims<3>, sum, recipe{"elu", preparation::elu_plus_one, {0, 1, 0, 0}});
  check(map_tag<maps::polynomial>{}, dims<3>, unnormalized,
        recipe{"polynomial", preparation::scaled, {1.0 / 3, 2, 0.2, 0}});
}

}  // namespace
}  // namespace linattn_test
