// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The one list of variants. A map joins the law, conformance and gradient tests with one line here: its type by head_dim
// and real type, the head_dims it is tested at, the normalizer it goes with, and the recipe by which the oracle computes it.
#ifndef LINATTN_TESTS_SUPPORT_REGISTRY_HPP
#define LINATTN_TESTS_SUPPORT_REGISTRY_HPP

#include "support/recipe.hpp"
#include "support/user_maps.hpp"

#include <linattn/dispatch.hpp>
#include <linattn/feature/elu_plus_one.hpp>
#include <linattn/feature/identity.hpp>
#include <linattn/feature/polynomial.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/normalizer/sum.hpp>
#include <linattn/normalizer/unnormalized.hpp>

#include <ratio>
#include <type_traits>

namespace linattn_test {

template <template <int, class> class Map>
struct map_tag {
  template <int HeadDim, class Real>
  using type = Map<HeadDim, Real>;
};

template <class Normalizer>
struct normalizer_tag {
  using type = Normalizer;
};

namespace maps {
using linattn::normalize;
using std::ratio;
template <int D, class> using taylor = linattn::taylor<D>;
template <int D, class> using power = linattn::power<D, 2>;
template <int D, class> using polynomial = linattn::polynomial<D, ratio<1, 3>, ratio<2>, ratio<1, 5>>;
template <int D, class> using no_linear = linattn::polynomial<D, ratio<1, 2>, ratio<0>, ratio<3>>;
template <int D, class Real> using rebased_none = linattn::rebased<D, normalize::none, Real>;
template <int D, class Real> using rebased_norm = linattn::rebased<D, normalize::layer_norm, Real>;
template <int D, class Real> using rebased_joint = linattn::rebased<D, normalize::layer_norm_all_heads, Real>;
template <int D, class> using identity = linattn::identity<D>;
template <int D, class> using elu_plus_one = linattn::elu_plus_one<D>;
template <int D, class> using user_elu_plus_one = user::elu_plus_one<D>;
template <int D, class> using user_cos_sin = user::cos_sin<D>;
template <int D, class> using user_cubic = user::cubic<D>;
}  // namespace maps

template <int... Dims>
inline constexpr linattn::ints<Dims...> dims{};
inline constexpr normalizer_tag<linattn::sum_normalizer> sum{};
inline constexpr normalizer_tag<linattn::unnormalized> unnormalized{};

/// Each visit: (map_tag, head_dims, normalizer_tag, recipe). Signed weights go without a normalizer.
template <class Visit>
void visit_taylor(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<1, 3, 8, 16, 20>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
}

template <class Visit>
void visit_wide(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<64>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
}

template <class Visit>
void visit_polynomial(Visit&& visit) {
  visit(map_tag<maps::power>{}, dims<3, 16>, sum, recipe{"power", preparation::scaled, {0, 0, 1, 0}});
  visit(map_tag<maps::polynomial>{}, dims<8>, unnormalized,
        recipe{"polynomial", preparation::scaled, {1.0 / 3, 2, 0.2, 0}});
  visit(map_tag<maps::no_linear>{}, dims<5>, sum, recipe{"no_linear", preparation::scaled, {0.5, 0, 3, 0}});
}

template <class Visit>
void visit_rebased(Visit&& visit) {
  constexpr double square[4] = {0, 0, 1, 0};
  auto const line = [&](auto map, auto head_dims, char const* name, preparation prepare, parameter_plan parameters) {
    visit(map, head_dims, sum, recipe{name, prepare, {square[0], square[1], square[2], square[3]}, parameters});
  };
  using map_none = map_tag<maps::rebased_none>;
  using map_norm = map_tag<maps::rebased_norm>;
  using map_joint = map_tag<maps::rebased_joint>;
  using enum preparation;
  line(map_none{}, dims<8>, "rebased x^2", affine, {});
  line(map_none{}, dims<8>, "rebased (gamma x)^2", affine, {.gamma = true, .beta = false, .rank = 1, .shared = false});
  line(map_none{}, dims<8>, "rebased (gamma x + beta)^2", affine,
       {.gamma = true, .beta = true, .rank = 2, .shared = false});
  line(map_norm{}, dims<3, 16>, "rebased norm(x)^2", layer_norm, {});
  line(map_norm{}, dims<3, 16>, "rebased", layer_norm, {.gamma = true, .beta = true, .rank = 1, .shared = false});
  line(map_norm{}, dims<16>, "rebased, a row a head", layer_norm,
       {.gamma = true, .beta = true, .rank = 2, .shared = false});
  line(map_norm{}, dims<16>, "rebased, shared", layer_norm, {.gamma = true, .beta = true, .rank = 1, .shared = true});
  line(map_joint{}, dims<8>, "rebased over all heads", layer_norm_all_heads,
       {.gamma = true, .beta = true, .rank = 2, .shared = false});
  line(map_joint{}, dims<8>, "rebased over all heads, rank 1", layer_norm_all_heads,
       {.gamma = true, .beta = true, .rank = 1, .shared = false});
}

template <class Visit>
void visit_elementwise(Visit&& visit) {
  visit(map_tag<maps::identity>{}, dims<16>, unnormalized, recipe{"identity", preparation::as_is, {0, 1, 0, 0}});
  visit(map_tag<maps::elu_plus_one>{}, dims<1, 20>, sum,
        recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
}

template <class Visit>
void visit_user(Visit&& visit) {
  visit(map_tag<maps::user_elu_plus_one>{}, dims<16>, sum,
        recipe{"user's elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}, {}, true});
  visit(map_tag<maps::user_cos_sin>{}, dims<8>, unnormalized,
        recipe{"user's cos_sin", preparation::cos_sin, {0, 1, 0, 0}, {}, true, false});
  visit(map_tag<maps::user_cubic>{}, dims<5>, unnormalized,
        recipe{"user's cubic", preparation::as_is, {0, 0, 0, 1}, {}, true});
}

/// Each family is compiled by itself: see CMakeLists.txt.
template <class Visit>
void visit_polynomial_family(Visit&& visit) {
  visit_taylor(visit);
  visit_polynomial(visit);
}

template <class Visit>
void visit_rebased_family(Visit&& visit) {
  visit_rebased(visit);
}

template <class Visit>
void visit_other_family(Visit&& visit) {
  visit_wide(visit);
  visit_elementwise(visit);
  visit_user(visit);
}

template <class Visit>
void visit_all_maps(Visit&& visit) {
  visit_polynomial_family(visit);
  visit_rebased_family(visit);
  visit_other_family(visit);
}

/// Calls f with each head_dim as a constant.
template <int... Dims, class F>
void for_each_head_dim(linattn::ints<Dims...>, F&& f) {
  (f(std::integral_constant<int, Dims>{}), ...);
}

}  // namespace linattn_test

#endif
