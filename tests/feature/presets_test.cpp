// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Presets against numbers worked out by hand from the other codes' formulas. Two tokens, the second one's output.
#include <doctest/doctest.h>

#include <linattn/linattn.hpp>
#include <linattn/presets.hpp>

#include <array>
#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

namespace {

/// The outputs (time 2, heads 2, value_dim 1) of an attention with head_dim 2.
template <class Attention>
std::array<float, 4> run(Attention const& attn, std::array<float, 8> const& q, std::array<float, 8> const& k,
                         std::array<float, 4> const& v) {
  std::array<float, 4> out{};
  linattn::forward(linattn::cpu_executor{.threads = 1}, attn,
                   {.q = linattn::view_bthd(q.data(), 1, 2, 2, 2),
                    .k = linattn::view_bthd(k.data(), 1, 2, 2, 2),
                    .v = linattn::view_bthd(v.data(), 1, 2, 2, 1),
                    .out = linattn::view_bthd(out.data(), 1, 2, 2, 1)});
  return out;
}

//                                     token 0: head 0 | head 1      token 1: head 0 | head 1
constexpr std::array<float, 8> q = {1, 0, /**/ 2, 1, /******/ 1, 2, /**/ 0, 1};
constexpr std::array<float, 8> k = {1, 1, /**/ 0, 3, /******/ 2, 0, /**/ 1, 1};
constexpr std::array<float, 4> v = {4, /**/ -2, /******/ 1, /**/ 3};

doctest::Approx near(double value) { return doctest::Approx(value).epsilon(2e-6); }

}  // namespace

TEST_CASE("Based has weights 1 + s + s^2 / 2 of s = q.k / sqrt(d)") {
  // Head 0, token 1: q.k = 3 and 2, over sqrt(2).
  double const a = 1 + 3 / std::sqrt(2.0) + 9 / 4.0;
  double const b = 1 + 2 / std::sqrt(2.0) + 4 / 4.0;
  CHECK(run(linattn::zoology_based<2>(), q, k, v)[2] == near((4 * a + b) / (a + b)));
  CHECK(run(linattn::zoology_based<2>(1.5), q, k, v)[2] == near((4 * a + b) / (a + b + 1.5)));
  CHECK(run(linattn::thunderkittens_based<2>(), q, k, v)[2] == near(4 * a + b));
  CHECK(linattn::zoology_based<2>().normalizer.eps == 1e-12);
}

TEST_CASE("power attention has weights (q.k)^2 / d") {
  // Head 1, token 1: q.k = 3 and 1.
  CHECK(run(linattn::power2<2>(0), q, k, v)[3] == near((-2 * 4.5 + 3 * 0.5) / 5));
  CHECK(run(linattn::power2<2>(1), q, k, v)[3] == near((-2 * 4.5 + 3 * 0.5) / 6));
  CHECK(linattn::power2<2>().normalizer.eps == 1e-6);
}

TEST_CASE("the official ReBased normalises over all heads jointly") {
  // q of token 1: (1, 2, 0, 1), mean 1, variance 1/2: (0, r, -r, 0), r = 1 / sqrt(1/2 + 1e-5).
  // k: (1, 1, 0, 3), mean 5/4, variance 19/16; (2, 0, 1, 1), mean 1, variance 1/2.
  double const r = 1 / std::sqrt(0.5 + 1e-5);
  double const r0 = 1 / std::sqrt(19 / 16.0 + 1e-5);
  double const w0 = std::pow(r * -0.25 * r0, 2) / 2;  // head 0: <(0, r), (-1/4, -1/4) r0>
  double const w1 = std::pow(r * -1 * r, 2) / 2;      // <(0, r), (1, -1) r>
  CHECK(run(linattn::official_rebased<2>(), q, k, v)[2] == near((4 * w0 + 1 * w1) / (w0 + w1)));
  CHECK(linattn::official_rebased<2>().normalizer.eps == 1e-12);
  CHECK(linattn::official_rebased<2>().map.layer_norm_eps == 1e-5);

  // A row of gamma and beta for each head. Head 0 of q: (0, r) -> (1, 3 r); of k, with gamma 2: (-r0/2, -r0/2), (2r, -2r).
  std::array<float, 4> const gamma_q = {7, 3, 1, 1}, beta_q = {1, 0, 0, 0}, gamma_k = {2, 2, 9, 9};
  using view = linattn::tensor_view<float const, 2>;
  auto const attn = linattn::official_rebased<2>({view{gamma_q.data(), {2, 2}}, view{beta_q.data(), {2, 2}},
                                                  view{gamma_k.data(), {2, 2}}, {}});
  double const u0 = std::pow((1 + 3 * r) * -0.5 * r0, 2);
  double const u1 = std::pow(2 * r - 3 * r * 2 * r, 2);
  CHECK(run(attn, q, k, v)[2] == near((4 * u0 + 1 * u1) / (u0 + u1)));
}

TEST_CASE("flash-linear-attention's ReBased normalises each head, with one gamma and beta") {
  // d = 2: q (1, 2) -> (-r, r), r = (1/2) / sqrt(1/4 + 1e-5); k (1, 1) -> 0, k (2, 0) -> (s, -s), s = 1 / sqrt(1 + 1e-5).
  std::array<float, 2> const gamma = {2, 0.5F}, beta = {1, -1};
  double const r = 0.5 / std::sqrt(0.25 + 1e-5);
  double const s = 1 / std::sqrt(1 + 1e-5);
  double const q0 = -2 * r + 1;
  double const q1 = 0.5 * r - 1;
  double const w0 = std::pow(q0 * 1 + q1 * -1, 2) / 2;
  double const w1 = std::pow(q0 * (2 * s + 1) + q1 * (-0.5 * s - 1), 2) / 2;
  auto const attn = linattn::fla_rebased<2>(std::span(gamma), std::span(beta));
  CHECK(run(attn, q, k, v)[2] == near((4 * w0 + 1 * w1) / (w0 + w1 + 1e-5)));
  CHECK(run(linattn::fla_rebased<2>(std::span(gamma), std::span(beta), 1), q, k, v)[2] ==
        near((4 * w0 + 1 * w1) / (w0 + w1 + 1)));
  CHECK(attn.normalizer.eps == 1e-5);
}

TEST_CASE("presets take a strategy and an element type") {
  auto const attn = linattn::power2<16, linattn::recurrent, linattn::bf16>();
  CHECK(std::is_same_v<decltype(attn), linattn::attention<linattn::power<16, 2>, linattn::recurrent,
                                                          linattn::sum_normalizer, linattn::bf16> const>);
}
