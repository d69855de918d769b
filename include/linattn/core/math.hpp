// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Scalar mathematics that feature maps share. Every function is a template on the real type: maps are evaluated on
// float, on double and on the CPU engine's vectors (one lane a token), for which cpu/simd.hpp overloads these names.
#ifndef LINATTN_CORE_MATH_HPP
#define LINATTN_CORE_MATH_HPP

#include <linattn/core/config.hpp>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

namespace linattn::inline LINATTN_ABI {

namespace detail {

template <class T>
struct scalar_of {
  using type = T;
};
/// The real type behind T: T itself for float and double, the lane type for a vector.
template <class T>
using scalar_t = typename scalar_of<T>::type;

/// Square root at compile time (Newton from above; exact to the last bit or two).
constexpr double constexpr_sqrt(double x) noexcept {
  if (x <= 0) {
    return 0;
  }
  double root = x > 1 ? x : 1;
  for (double next = 0.5 * (root + x / root); next < root; next = 0.5 * (root + x / root)) {
    root = next;
  }
  return root;
}

/// a * b, or the largest value when that overflows: sizes saturate, so that a later check can refuse them.
LINATTN_HOST_DEVICE constexpr std::int64_t saturating_multiply(std::int64_t a, std::int64_t b) noexcept {
  constexpr std::int64_t largest = 0x7fffffffffffffff;  // numeric_limits is a host function to nvcc
  std::uint64_t const size_a = a < 0 ? 0 - static_cast<std::uint64_t>(a) : static_cast<std::uint64_t>(a);
  std::uint64_t const size_b = b < 0 ? 0 - static_cast<std::uint64_t>(b) : static_cast<std::uint64_t>(b);
  if (size_b != 0 && size_a > static_cast<std::uint64_t>(largest) / size_b) {
    return largest;
  }
  return a * b;
}

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}

/// 1 / x; of a float on a device within 2 ulp, and zero beyond 2^126: an exact one is a branch in each loop.
template <class T>
LINATTN_HOST_DEVICE T reciprocal(T x) noexcept {
#if defined(__CUDA_ARCH__)
  if constexpr (std::same_as<T, float>) {
    return __fdividef(1.0F, x);
  }
#endif
  return T(1) / x;
}

/// 1 / sqrt(x).
template <std::floating_point Real>
LINATTN_HOST_DEVICE Real rsqrt(Real x) noexcept {
  return Real(1) / std::sqrt(x);
}

}  // namespace detail

}  // namespace linattn::inline LINATTN_ABI

#endif
