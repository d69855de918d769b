// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// No division: for maps with signed weights, or when a norm of the output follows.
#ifndef LINATTN_NORMALIZER_UNNORMALIZED_HPP
#define LINATTN_NORMALIZER_UNNORMALIZED_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>

namespace linattn::inline LINATTN_ABI {

/// out = num.
struct unnormalized {
  static constexpr bool needs_denominator = false;

  template <class T>
  LINATTN_HOST_DEVICE T scale(T /*den*/) const {
    return T(1);
  }
  template <class T>
  LINATTN_HOST_DEVICE T scale_grad(T /*den*/) const {
    return T(0);
  }
  void check(diagnostic&) const noexcept {}
};

}  // namespace linattn::inline LINATTN_ABI

#endif
