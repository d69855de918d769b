// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Power attention's map, s^p, for the degrees that packed features serve.
#ifndef LINATTN_FEATURE_POWER_HPP
#define LINATTN_FEATURE_POWER_HPP

#include <linattn/feature/polynomial.hpp>

namespace linattn::inline LINATTN_ABI {

namespace detail {
template <int Degree>
struct power_coefficients {
  static_assert(Degree == 1 || Degree == 2,
                "linattn::power: a degree other than 1 and 2; degrees 1 and 2; write a map of your own");
  using linear = std::ratio<Degree == 1 ? 1 : 0>;
  using quadratic = std::ratio<Degree == 2 ? 1 : 0>;
};
}  // namespace detail

/// score(s) = s^Degree, s = q.k / sqrt(head_dim): d (d + 1) / 2 packed features for degree 2 (136 at d = 16).
/// Source: Power attention, arXiv:2507.04239.
template <int HeadDim, int Degree = 2>
using power = polynomial<HeadDim, std::ratio<0>, typename detail::power_coefficients<Degree>::linear,
                         typename detail::power_coefficients<Degree>::quadratic>;

}  // namespace linattn::inline LINATTN_ABI

#endif
