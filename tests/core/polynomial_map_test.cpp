// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which maps a backend may expand by their coefficients: all of the library's, and a derived one until it replaces a hook.
#include <linattn/linattn.hpp>

#include <doctest/doctest.h>

#include <ratio>

namespace {

using linattn::normalize;
using linattn::PolynomialMap;

static_assert(PolynomialMap<linattn::taylor<16>> && PolynomialMap<linattn::power<16>>);
static_assert(PolynomialMap<linattn::polynomial<3, std::ratio<1, 3>, std::ratio<2>, std::ratio<1, 5>>>);
static_assert(PolynomialMap<linattn::rebased<16>> && PolynomialMap<linattn::rebased<8, normalize::none, double>> &&
              PolynomialMap<linattn::rebased<8, normalize::layer_norm_all_heads>>);
static_assert(PolynomialMap<linattn::identity<16>> && PolynomialMap<linattn::elu_plus_one<16>>);

template <int HeadDim>
struct as_it_is : linattn::elementwise_map<HeadDim> {
  void prepare(float*, linattn::role, int) const {}
};

/// As many features as its base has, and other ones.
template <int HeadDim>
struct doubled : as_it_is<HeadDim> {
  float score(float s) const { return 2 * s; }
  float feature(float const* x, int n) const { return 1.41421356F * x[n]; }
};

template <int HeadDim>
struct own_template : as_it_is<HeadDim> {
  template <class T>
  T score(T s) const {
    return s + s;
  }
};

static_assert(PolynomialMap<as_it_is<4>>);
static_assert(linattn::FeatureMap<doubled<4>> && !PolynomialMap<doubled<4>>);
static_assert(linattn::FeatureMap<own_template<4>> && !PolynomialMap<own_template<4>>);

template <class Map, class Strategy>
float weight_of(float const (&q)[2], float const (&k)[2]) {
  float const v[1] = {1};
  float out[1] = {};
  linattn::forward(linattn::cpu_executor{}, linattn::attention<Map, Strategy, linattn::unnormalized>{},
                   {.q = linattn::view_bthd(q, 1, 1, 1, 2),
                    .k = linattn::view_bthd(k, 1, 1, 1, 2),
                    .v = linattn::view_bthd(v, 1, 1, 1, 1),
                    .out = linattn::view_bthd(out, 1, 1, 1, 1)});
  return out[0];
}

TEST_CASE("hooks that a derived map replaces are the ones that are called") {
  float const q[2] = {1, 2};
  float const k[2] = {3, 4};
  CHECK(weight_of<as_it_is<2>, linattn::parallel>(q, k) == 11);
  CHECK(weight_of<doubled<2>, linattn::parallel>(q, k) == 22);
  CHECK(weight_of<doubled<2>, linattn::recurrent>(q, k) == doctest::Approx(22));
}

}  // namespace
