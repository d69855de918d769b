// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The library, through its public calls alone, against the stored values of make_goldens.py: outputs, denominators, states
// and every gradient of each map, in double, chunkwise and recurrent.
#include <linattn/linattn.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

#include "goldens.inc"

constexpr std::int64_t time_steps = 4;
constexpr std::int64_t heads = 2;
constexpr std::int64_t kv_heads = 1;
constexpr std::int64_t values = 2;
constexpr std::int64_t d = 3;

/// Multiples of 1/256 in [-1, 1), the same as numbers() of make_goldens.py.
std::vector<double> pseudo(std::int64_t seed, std::int64_t count) {
  std::vector<double> numbers;
  for (std::int64_t i = 0; i < count; ++i) {
    numbers.push_back(static_cast<double>((i * 7919 + seed * 104729) % 509 - 256) / 256);
  }
  return numbers;
}

std::vector<double> parameter(std::int64_t seed, std::int64_t count, double mean) {
  std::vector<double> numbers = pseudo(seed, count);
  for (double& number : numbers) {
    number = mean + number / 2;
  }
  return numbers;
}

/// One map's stored arrays; the parameters' are empty for maps without.
struct golden {
  char const* name;
  std::span<double const> out, denominator, kv, k_sum, grad_q, grad_k, grad_v;
  std::span<double const> grad_gamma_q{}, grad_beta_q{}, grad_gamma_k{}, grad_beta_k{};
  bool causal = true;
  double eps = 1e-6;
  int rank = 0;
};

void compare(std::string const& what, std::vector<double> const& got, std::span<double const> want) {
  CAPTURE(what);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-8).scale(1));
  }
}

/// Parameters in views of rank 1 or 2, as the case says.
template <class View>
View view_of(std::vector<double>& numbers, int rank, std::int64_t rows) {
  if (rank == 1) {
    return linattn::tensor_view<double, 1>{numbers.data(), {d}};
  }
  return linattn::tensor_view<double, 2>{numbers.data(), {rows, d}};
}

template <class Map, class Strategy, class Normalizer>
void check(golden const& g) {
  using attention = linattn::attention<Map, Strategy, Normalizer, double>;
  CAPTURE(std::string(g.name));
  attention attn{};
  if constexpr (Normalizer::needs_denominator) {
    attn.normalizer.eps = g.eps;
  }
  std::vector<double> const q = pseudo(1, time_steps * heads * d);
  std::vector<double> const k = pseudo(2, time_steps * kv_heads * d);
  std::vector<double> const v = pseudo(3, time_steps * kv_heads * values);
  std::vector<double> const grad_out = pseudo(4, time_steps * heads * values);
  std::int64_t const q_rows = g.rank == 1 ? 1 : heads;
  std::int64_t const k_rows = g.rank == 1 ? 1 : kv_heads;
  std::vector<double> gamma_q = parameter(5, q_rows * d, 1);
  std::vector<double> gamma_k = parameter(6, k_rows * d, 1);
  std::vector<double> beta_q = parameter(7, q_rows * d, 0);
  std::vector<double> beta_k = parameter(8, k_rows * d, 0);
  std::vector<double> grad_gamma_q(gamma_q.size()), grad_gamma_k(gamma_k.size());
  std::vector<double> grad_beta_q(beta_q.size()), grad_beta_k(beta_k.size());
  if constexpr (requires { attn.map.parameters; }) {
    using view = linattn::parameter_view<double const>;
    attn.map.parameters = {view_of<view>(gamma_q, g.rank, heads), view_of<view>(beta_q, g.rank, heads),
                           view_of<view>(gamma_k, g.rank, kv_heads), view_of<view>(beta_k, g.rank, kv_heads)};
  }

  auto const bthd = [](auto& numbers, std::int64_t rows, std::int64_t width) {
    return linattn::view_bthd(numbers.data(), 1, time_steps, rows, width);
  };
  std::vector<double> out(static_cast<std::size_t>(time_steps * heads * values));
  std::vector<double> denominator(static_cast<std::size_t>(heads * time_steps));
  linattn::host_state<Map, double> state(1, kv_heads, values);
  linattn::forward(linattn::cpu_executor{}, attn,
                   {.q = bthd(q, heads, d),
                    .k = bthd(k, kv_heads, d),
                    .v = bthd(v, kv_heads, values),
                    .out = bthd(out, heads, values),
                    .denominator = linattn::view_bht(denominator.data(), 1, heads, time_steps),
                    .final_state = state.view(),
                    .causal = g.causal});
  compare("out", out, g.out);
  compare("denominator", denominator, g.denominator);
  compare("kv", {state.kv_data().begin(), state.kv_data().end()}, g.kv);
  compare("k_sum", {state.k_sum_data().begin(), state.k_sum_data().end()}, g.k_sum);

  std::vector<double> grad_q(q.size()), grad_k(k.size()), grad_v(v.size());
  typename attention::backward_args args{};
  args.q = bthd(q, heads, d);
  args.k = bthd(k, kv_heads, d);
  args.v = bthd(v, kv_heads, values);
  args.grad_out = bthd(grad_out, heads, values);
  args.grad_q = bthd(grad_q, heads, d);
  args.grad_k = bthd(grad_k, kv_heads, d);
  args.grad_v = bthd(grad_v, kv_heads, values);
  args.causal = g.causal;
  if constexpr (requires { args.grad_map.gamma_q; }) {
    using view = linattn::parameter_view<double>;
    args.grad_map = {view_of<view>(grad_gamma_q, g.rank, heads), view_of<view>(grad_beta_q, g.rank, heads),
                     view_of<view>(grad_gamma_k, g.rank, kv_heads), view_of<view>(grad_beta_k, g.rank, kv_heads)};
  }
  linattn::backward(linattn::cpu_executor{}, attn, args);
  compare("grad_q", grad_q, g.grad_q);
  compare("grad_k", grad_k, g.grad_k);
  compare("grad_v", grad_v, g.grad_v);
  if (g.rank > 0) {
    compare("grad_gamma_q", grad_gamma_q, g.grad_gamma_q);
    compare("grad_beta_q", grad_beta_q, g.grad_beta_q);
    compare("grad_gamma_k", grad_gamma_k, g.grad_gamma_k);
    compare("grad_beta_k", grad_beta_k, g.grad_beta_k);
  }
}

template <class Map, class Normalizer = linattn::sum_normalizer>
void check_strategies(golden const& g) {
  check<Map, linattn::chunkwise<2>, Normalizer>(g);
  check<Map, linattn::recurrent, Normalizer>(g);
}

#define GOLDEN(name)                                                                                             \
  golden { #name, name##_out, name##_denominator, name##_kv, name##_k_sum, name##_grad_q, name##_grad_k, name##_grad_v }

#define GOLDEN_WITH_PARAMETERS(name)                                                                                \
  golden {                                                                                                          \
    #name, name##_out, name##_denominator, name##_kv, name##_k_sum, name##_grad_q, name##_grad_k, name##_grad_v,    \
        name##_grad_gamma_q, name##_grad_beta_q, name##_grad_gamma_k, name##_grad_beta_k                            \
  }

TEST_CASE("polynomial and elementwise maps give the stored values") {
  check_strategies<linattn::taylor<3>>(GOLDEN(taylor));
  golden open = GOLDEN(taylor_not_causal);
  open.causal = false;
  open.eps = 0.25;
  check_strategies<linattn::taylor<3>>(open);
  golden power = GOLDEN(power);
  power.eps = 0.25;
  check_strategies<linattn::power<3>>(power);
  check_strategies<linattn::elu_plus_one<3>>(GOLDEN(elu));
  check_strategies<linattn::identity<3>, linattn::unnormalized>(GOLDEN(plain));
}

TEST_CASE("rebased gives the stored values with each norm, and its parameters' gradients too") {
  golden rebased = GOLDEN_WITH_PARAMETERS(rebased);
  rebased.rank = 1;
  check_strategies<linattn::rebased<3, linattn::normalize::layer_norm, double>>(rebased);
  golden joint = GOLDEN_WITH_PARAMETERS(rebased_all_heads);
  joint.rank = 2;
  joint.eps = 0.25;
  check_strategies<linattn::rebased<3, linattn::normalize::layer_norm_all_heads, double>>(joint);
  golden none = GOLDEN_WITH_PARAMETERS(rebased_none);
  none.rank = 1;
  none.eps = 0.25;
  check_strategies<linattn::rebased<3, linattn::normalize::none, double>>(none);
}

}  // namespace
