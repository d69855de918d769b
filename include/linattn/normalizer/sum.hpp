// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Division by the sum of the weights. eps lives here and nowhere else.
#ifndef LINATTN_NORMALIZER_SUM_HPP
#define LINATTN_NORMALIZER_SUM_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/math.hpp>

namespace linattn::inline LINATTN_ABI {

/// out = num / (den + eps).
struct sum_normalizer {
  static constexpr bool needs_denominator = true;
  double eps = 1e-6;

  template <class T>
  LINATTN_HOST_DEVICE T scale(T den) const {
    return detail::reciprocal(den + static_cast<T>(eps));
  }
  template <class T>
  LINATTN_HOST_DEVICE T scale_grad(T den) const {
    T const s = scale(den);
    return -s * s;
  }
  void check(diagnostic& report) const noexcept {
    if (!(eps >= 0 && eps <= 1e300)) {
      report.fail("the normalizer's eps is negative or not finite; accepted are finite values from 0 on",
                  "; the default is 1e-6");
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
