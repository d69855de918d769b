// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// check_feature_map: it accepts every right map and names the hook of every broken one. Broken maps are made here, one
// flaw each.
#include <doctest/doctest.h>

#include <linattn/feature/elu_plus_one.hpp>
#include <linattn/feature/identity.hpp>
#include <linattn/feature/laws.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using linattn::check_feature_map;
using linattn::normalize;
using linattn::role;

enum class flaw {
  none, feature_weight, score_factor, missing_pair, nan_row, writes_outside, random_prepare, score_grad, feature_backward,
  feature_backward_overwrites, prepare_backward, prepare_backward_of_keys, prepare_backward_outside, partial, partial_head,
  accumulate_role, bad_check
};

/// Float for every map, double for those that are templates.
template <class T, class Widest>
concept Served = std::is_same_v<T, float> || std::is_same_v<T, Widest>;

/// score(s) = s^2 of rows x_i^2 * gamma_i (twice that for keys), gamma (heads, d) shared by q and k. With all d*d
/// products as features, so that nothing of it is the library's.
template <class Real, flaw Flaw>
struct square {
  static constexpr int d = 3;
  static constexpr char const* name = "square";
  static constexpr int head_dim = d;
  static constexpr int feature_dim = d * d;
  static constexpr bool all_heads = false;
  static constexpr bool vectorized = false;
  static constexpr int gradient_size = d;
  struct gradients {
    Real* gamma = nullptr;
  };
  Real const* gamma = nullptr;
  int* calls = nullptr;

  template <class T>
  T factor(role r) const { return r == role::key ? T(2) : T(1); }
  template <Served<Real> T>
  void prepare(T* x, role r, int head) const {
    for (int i = 0; i < d; ++i) {
      x[i] = x[i] * x[i] * T(gamma[head * d + i]) * factor<T>(r);
    }
    if (Flaw == flaw::nan_row) { x[1] = std::sqrt(-x[1] * x[1] - 1); }
    if (Flaw == flaw::writes_outside) { x[d] = 0; }
    if (Flaw == flaw::random_prepare) { x[0] += static_cast<T>(++*calls); }
  }
  template <Served<Real> T>
  T score(T s) const { return s * s * (Flaw == flaw::score_factor ? T(1.001) : T(1)); }
  template <Served<Real> T>
  T feature(T const* x, int n) const {
    if (Flaw == flaw::missing_pair && n == 5) { return 0; }
    return x[n / d] * x[n % d] * (Flaw == flaw::feature_weight && n == 7 ? T(0.99) : T(1));
  }
  template <Served<Real> T>
  T score_grad(T s) const { return (Flaw == flaw::score_grad ? T(1.9) : T(2)) * s; }
  template <Served<Real> T>
  void feature_backward(T const* x, int n, T g, T* grad) const {
    if (Flaw == flaw::feature_backward_overwrites) { grad[n / d] = 0; }
    grad[n / d] += g * x[n % d];
    grad[n % d] += g * x[n / d] * (Flaw == flaw::feature_backward && n == 8 ? T(-1) : T(1));
  }
  template <Served<Real> T>
  void prepare_backward(T const* x, T* grad, role r, int head, T* sums) const {
    for (int i = 0; i < d; ++i) {
      T const g = grad[i] * factor<T>(r);
      sums[i] += g * x[i] * x[i] * (Flaw == flaw::partial ? T(0.95) : T(1));
      grad[i] = g * T(gamma[head * d + i]) * x[i] * (Flaw == flaw::prepare_backward ? T(1) : T(2));
    }
    if (Flaw == flaw::prepare_backward_of_keys && r == role::key) { grad[2] *= T(1.1); }
    if (Flaw == flaw::prepare_backward_outside) { sums[d] = 1; }
  }
  template <Served<Real> T>
  void accumulate(gradients const& to, role r, int head, int n, T sum) const {
    if (Flaw == flaw::accumulate_role && r == role::key) { return; }
    to.gamma[(Flaw == flaw::partial_head ? 0 : head) * d + n] += static_cast<Real>(sum);
  }
  void check_gradients(gradients const&, linattn::diagnostic&, std::int64_t, std::int64_t) const noexcept {}
  void check(linattn::diagnostic& report, std::int64_t heads, std::int64_t) const noexcept {
    if (Flaw == flaw::bad_check) { report.fail("gamma has 2 heads; ", heads, " are accepted; test"); }
  }
};

template <flaw Flaw, class Real = double>
std::string verdict() {
  std::vector<Real> gamma{Real(1.5), Real(-0.5), Real(0.75), Real(2), Real(1), Real(-1.25)};
  std::vector<Real> const before = gamma;
  std::vector<Real> grads(gamma.size());
  int calls = 0;
  square<Real, Flaw> const map{gamma.data(), &calls};
  static_assert(std::is_same_v<linattn::detail::law_number<square<double, flaw::none>>, double>);
  auto const report = check_feature_map(map, std::span(gamma), std::span(grads), {.gamma = grads.data()});
  CHECK(gamma == before);
  std::string const text = report.message();
  CHECK((report.ok() || text.rfind("linattn::check_feature_map: ", 0) == 0));
  return text;
}

bool blames(std::string const& text, std::string const& part) {
  CAPTURE(text);
  CAPTURE(part);
  bool const found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

template <class Map>
void accepts(Map const& map, linattn::law_options const& options = {}) {
  for (std::uint64_t seed : {1U, 2U, 77U}) {
    linattn::law_options seeded = options;
    seeded.seed = seed;
    auto const report = check_feature_map(map, seeded);
    INFO(report.message());
    CHECK(report.ok());
  }
}

/// A kink, which finite differences must not stumble over, and a float-only map, as users write them.
template <int HeadDim>
struct relu : linattn::elementwise_map<HeadDim> {
  void prepare(float* x, role, int) const {
    for (int i = 0; i < HeadDim; ++i) { x[i] = x[i] > 0 ? x[i] : 0; }
  }
  void prepare_backward(float const* x, float* grad, role, int, float*) const {
    for (int i = 0; i < HeadDim; ++i) { grad[i] = x[i] > 0 ? grad[i] : 0; }
  }
};

/// Derived from a base whose score and features are not its own: the hooks here are called.
struct doubled : linattn::elementwise_map<4> {
  void prepare(float*, role, int) const {}
  float score(float s) const { return 4 * s; }
  float feature(float const* x, int n) const { return 2 * x[n]; }
};
struct absolute : linattn::elementwise_map<4> {  // right for s > 0 only
  void prepare(float*, role, int) const {}
  float score(float s) const { return std::abs(s); }
};
struct half_doubled : doubled {  // differentiable, and score_grad is still the base's
  template <class T>
  void prepare_backward(T const*, T*, role, int, T*) const {}
};
struct only_score : linattn::elementwise_map<4> {
  void prepare(float*, role, int) const {}
  float score(float s) const { return s * s; }
};
struct other_coefficient : linattn::elementwise_map<4> {
  static constexpr double c1 = 9;
  void prepare(float*, role, int) const {}
};
/// Hooks of its own, which it passes off as those of `packed`: backends would not call them.
template <bool Reversed>
struct impostor : linattn::elementwise_map<4> {
  using packed_owner = impostor;
  void prepare(float*, role, int) const {}
  template <class T>
  T score(T s) const { return Reversed ? s : 9 * s; }
  template <class T>
  T score_grad(T) const { return Reversed ? 1 : 9; }
  template <class T>
  T feature(T const* x, int n) const { return Reversed ? x[3 - n] : 3 * x[n]; }
  template <class T>
  void feature_backward(T const*, int n, T g, T* grad) const {
    if (Reversed) { grad[3 - n] += g; } else { grad[n] += 3 * g; }
  }
};

template <int HeadDim, normalize Norm>
void accepts_rebased(int heads, int kv_heads) {
  using map = linattn::rebased<HeadDim, Norm, float>;
  constexpr std::int64_t d = HeadDim;
  std::size_t const size = static_cast<std::size_t>(2 * (heads + kv_heads) * HeadDim);
  std::vector<float> values(size), grads(size);
  for (std::size_t i = 0; i < size; ++i) {
    values[i] = 1 + static_cast<float>(i % 7) / 8;
  }
  auto const views = [&](auto* data) {
    using view = linattn::tensor_view<std::remove_pointer_t<decltype(data)>, 2>;
    auto* const second = data + heads * d;
    auto* const third = second + heads * d;
    auto* const fourth = third + kv_heads * d;
    return std::array{view{data, {heads, d}}, view{second, {heads, d}}, view{third, {kv_heads, d}},
                      view{fourth, {kv_heads, d}}};
  };
  auto const in = views(static_cast<float const*>(values.data()));
  auto const to = views(grads.data());
  map const rebased{.parameters = {.gamma_q = in[0], .beta_q = in[1], .gamma_k = in[2], .beta_k = in[3]}};
  auto const report =
      check_feature_map(rebased, std::span(values), std::span(grads),
                        {.gamma_q = to[0], .beta_q = to[1], .gamma_k = to[2], .beta_k = to[3]},
                        {.heads = heads, .kv_heads = kv_heads});
  INFO(report.message());
  CHECK(report.ok());
}

}  // namespace

TEST_CASE("right maps are accepted, in double where their hooks allow it") {
  accepts(linattn::taylor<1>{});
  accepts(linattn::taylor<16>{});
  accepts(linattn::taylor<64>{}, {.rows = 2, .heads = 1});
  accepts(linattn::power<17>{});
  accepts(linattn::power<5, 1>{});
  accepts(linattn::polynomial<6, std::ratio<1, 3>, std::ratio<0>, std::ratio<9, 7>>{});
  accepts(linattn::identity<8>{});
  accepts(linattn::elu_plus_one<8>{});
  accepts(linattn::rebased<16>{});
  accepts(linattn::rebased<16, normalize::none>{});
  accepts(linattn::rebased<16, normalize::layer_norm_all_heads>{}, {.heads = 4, .kv_heads = 2});
  accepts(linattn::rebased<1>{});
  accepts(relu<64>{});
  accepts(linattn::taylor<16>{}, {.deviation = 30});
  CHECK(std::is_same_v<linattn::detail::law_number<linattn::taylor<4>>, double>);
  CHECK(std::is_same_v<linattn::detail::law_number<relu<4>>, float>);
}

TEST_CASE("parameters of every shape are accepted with right gradients") {
  accepts_rebased<4, normalize::none>(2, 2);
  accepts_rebased<4, normalize::layer_norm>(4, 2);
  accepts_rebased<3, normalize::layer_norm_all_heads>(3, 1);
  CHECK(verdict<flaw::none>() == "");
  CHECK(verdict<flaw::none, float>() == "");
}

TEST_CASE("a broken law is found") {
  CHECK(blames(verdict<flaw::feature_weight>(), "the sum of feature(x, n) * feature(y, n) differs from score"));
  CHECK(blames(verdict<flaw::feature_weight, float>(), "the sum of feature(x, n) * feature(y, n) differs from score"));
  CHECK(blames(verdict<flaw::score_factor>(), "differs from score"));
  CHECK(blames(verdict<flaw::score_factor, float>(), "differs from score"));
  CHECK(blames(verdict<flaw::missing_pair>(), "differs from score"));
  CHECK(blames(check_feature_map(absolute{}).message(), "differs from score"));
}

TEST_CASE("a prepare that is no function of its row is found") {
  CHECK(blames(verdict<flaw::nan_row>(), "prepare makes a number that is not finite"));
  CHECK(blames(verdict<flaw::writes_outside>(), "prepare writes outside its 3 numbers"));
  CHECK(blames(verdict<flaw::random_prepare>(), "prepare gives different numbers for one row"));
}

TEST_CASE("wrong derivatives are found, in double and in float") {
  CHECK(blames(verdict<flaw::score_grad>(), "score_grad differs from the slope of score"));
  CHECK(blames(verdict<flaw::score_grad, float>(), "score_grad differs from the slope of score"));
  CHECK(blames(verdict<flaw::feature_backward>(), "feature_backward differs from the slope of feature (number 8"));
  CHECK(blames(verdict<flaw::feature_backward, float>(), "feature_backward differs from the slope of feature"));
  CHECK(blames(verdict<flaw::feature_backward_overwrites>(), "feature_backward differs from the slope of feature"));
  CHECK(blames(verdict<flaw::prepare_backward>(), "prepare_backward differs from the slope of prepare of a query"));
  CHECK(blames(verdict<flaw::prepare_backward, float>(), "prepare_backward differs from the slope of prepare"));
  CHECK(blames(verdict<flaw::prepare_backward_of_keys>(), "prepare_backward differs from the slope of prepare of a key"));
  CHECK(blames(verdict<flaw::prepare_backward_outside>(), "prepare_backward writes outside its 3 numbers"));
}

TEST_CASE("wrong gradients of parameters are found") {
  CHECK(blames(verdict<flaw::partial>(), "the partial sums of prepare_backward, or accumulate, differs"));
  CHECK(blames(verdict<flaw::partial, float>(), "the partial sums of prepare_backward, or accumulate, differs"));
  CHECK(blames(verdict<flaw::partial_head>(), "the partial sums of prepare_backward, or accumulate, differs"));
  CHECK(blames(verdict<flaw::accumulate_role>(), "the partial sums of prepare_backward, or accumulate, differs"));
}

TEST_CASE("hooks that replace the base's are tested, and must fit together") {
  CHECK(!linattn::PolynomialMap<doubled>);
  accepts(doubled{});
  CHECK(blames(check_feature_map(only_score{}).message(), "differs from score(<x, y>)"));
  CHECK(blames(check_feature_map(half_doubled{}).message(), "score_grad differs from the slope of score"));
}

TEST_CASE("a polynomial map whose coefficients or hooks are not those of `packed` is found") {
  CHECK(linattn::PolynomialMap<impostor<true>>);
  CHECK(blames(check_feature_map(other_coefficient{}).message(), "score differs from c0 + c1 s + c2 s^2"));
  CHECK(blames(check_feature_map(impostor<false>{}).message(), "or from that of the map's `packed`"));
  CHECK(blames(check_feature_map(impostor<true>{}).message(), "feature 0 differs from that of the map's `packed`"));
}

TEST_CASE("bad options and bad parameters are reported, not run") {
  CHECK(blames(check_feature_map(linattn::taylor<2>{}, {.rows = 0}).message(), "options with 0 rows"));
  CHECK(blames(verdict<flaw::bad_check>(), "gamma has 2 heads; 2 are accepted"));
  CHECK(blames(check_feature_map(linattn::taylor<2>{.scale = -1}).message(), "scale is negative"));
  std::vector<float> four(4), three(3);
  auto const report = check_feature_map(linattn::rebased<4>{}, std::span(four), std::span(three), {});
  CHECK(blames(report.message(), "there are 4 parameters and 3 gradients"));
}
