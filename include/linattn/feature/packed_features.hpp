// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packed features of c0 + c1 s + c2 s^2: their order, weights and derivatives. The maps built on them share this; backends
// may expand the same features another way.
#ifndef LINATTN_FEATURE_PACKED_FEATURES_HPP
#define LINATTN_FEATURE_PACKED_FEATURES_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/math.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ratio>

namespace linattn::inline LINATTN_ABI {

namespace detail {

/// Packed features, in this order: one constant (if c0 > 0); x_i (if c1 > 0); x_i x_j for i <= j, row by row (if
/// c2 > 0). The square root of each term's coefficient is in the feature, so that both sides of the law are equal.
template <int HeadDim, class C0, class C1, class C2>
struct packed_polynomial {
  static constexpr double c0 = static_cast<double>(C0::num) / static_cast<double>(C0::den);
  static constexpr double c1 = static_cast<double>(C1::num) / static_cast<double>(C1::den);
  static constexpr double c2 = static_cast<double>(C2::num) / static_cast<double>(C2::den);
  static constexpr int pairs = HeadDim * (HeadDim + 1) / 2;
  static constexpr int linear_begin = c0 > 0 ? 1 : 0;
  static constexpr int pairs_begin = linear_begin + (c1 > 0 ? HeadDim : 0);
  static constexpr int feature_dim = pairs_begin + (c2 > 0 ? pairs : 0);

  /// Which two coordinates the n-th pair multiplies.
  struct pair_table {
    std::int16_t first[std::size_t{pairs}];
    std::int16_t second[std::size_t{pairs}];
  };
  static constexpr pair_table table = [] {
    pair_table t{};
    int n = 0;
    for (int i = 0; i < HeadDim; ++i) {
      for (int j = i; j < HeadDim; ++j, ++n) {
        t.first[n] = static_cast<std::int16_t>(i);
        t.second[n] = static_cast<std::int16_t>(j);
      }
    }
    return t;
  }();

  struct pair {
    int first;
    int second;
  };
  LINATTN_HOST_DEVICE static constexpr pair pair_of(int n) {
#if defined(__CUDA_ARCH__)  // the table is host memory
    return pair_by_root(n);
#else
    return {table.first[n], table.second[n]};
#endif
  }
  /// The same without a table: row r begins at r (2 d + 1 - r) / 2; the root of that, rounded, is at most a row off.
  LINATTN_HOST_DEVICE static pair pair_by_root(int n) {
    constexpr int odd = 2 * HeadDim + 1;
    auto const under = static_cast<float>(odd * odd - 8 * n);
#if defined(__CUDA_ARCH__)
    float const root = under * rsqrtf(under);
#else
    float const root = std::sqrt(under);
#endif
    return pair_near(n, static_cast<int>((static_cast<float>(odd) - root) * 0.5F));
  }
  /// The same of a pair that lies in this row or in a neighbour of it.
  LINATTN_HOST_DEVICE static constexpr pair pair_near(int n, int row) {
    constexpr int odd = 2 * HeadDim + 1;
    row -= n < row * (odd - row) / 2 ? 1 : 0;
    row += n >= (row + 1) * (odd - row - 1) / 2 ? 1 : 0;
    return {row, row + n - row * (odd - row) / 2};
  }

  static constexpr double root0 = constexpr_sqrt(c0);
  static constexpr double root1 = constexpr_sqrt(c1);
  static constexpr double square = constexpr_sqrt(c2);
  static constexpr double product = constexpr_sqrt(2 * c2);

  template <class T>
  LINATTN_HOST_DEVICE static T score(T s) {
    using real = scalar_t<T>;
    T value = T(static_cast<real>(c2)) * s + T(static_cast<real>(c1));
    value = value * s + T(static_cast<real>(c0));
    return value;
  }

  template <class T>
  LINATTN_HOST_DEVICE static T score_grad(T s) {
    using real = scalar_t<T>;
    return T(static_cast<real>(2 * c2)) * s + T(static_cast<real>(c1));
  }

  template <class T>
  LINATTN_HOST_DEVICE static T feature(T const* x, int n) {
    using real = scalar_t<T>;
    if (n < linear_begin) {
      return T(static_cast<real>(root0));
    }
    if (n < pairs_begin) {
      return x[n - linear_begin] * T(static_cast<real>(root1));
    }
    auto const [i, j] = pair_of(n - pairs_begin);
    return x[i] * (x[j] * T(static_cast<real>(i == j ? square : product)));
  }

  /// grad += g * d feature(x, n) / dx.
  template <class T>
  LINATTN_HOST_DEVICE static void feature_backward(T const* x, int n, T g, T* grad) {
    using real = scalar_t<T>;
    if (n < linear_begin) {
      return;
    }
    if (n < pairs_begin) {
      grad[n - linear_begin] = grad[n - linear_begin] + g * T(static_cast<real>(root1));
      return;
    }
    auto const [i, j] = pair_of(n - pairs_begin);
    T const weighted = g * T(static_cast<real>(i == j ? square : product));
    grad[i] = grad[i] + weighted * x[j];
    grad[j] = grad[j] + weighted * x[i];  // a square (i == j) gets its factor 2 here
  }
};

}  // namespace detail
}  // namespace linattn::inline LINATTN_ABI

#endif
