// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Polynomial maps: score(s) = c0 + c1 s + c2 s^2 with packed features. taylor and power are names for members of this
// family, and rebased is built on it. The coefficients are types (std::ratio), because clang 14 takes no floating-point
// template arguments and CUDA kernels take no class-type ones.
#ifndef LINATTN_FEATURE_POLYNOMIAL_HPP
#define LINATTN_FEATURE_POLYNOMIAL_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/math.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
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
    int const i = table.first[n - pairs_begin];
    int const j = table.second[n - pairs_begin];
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
    int const i = table.first[n - pairs_begin];
    int const j = table.second[n - pairs_begin];
    T const weighted = g * T(static_cast<real>(i == j ? square : product));
    grad[i] = grad[i] + weighted * x[j];
    grad[j] = grad[j] + weighted * x[i];  // a square (i == j) gets its factor 2 here
  }
};

/// The scale of a map must be usable: finite and not negative.
inline void check_scale(diagnostic& report, double scale) noexcept {
  if (!(scale >= 0 && scale <= (std::numeric_limits<double>::max)())) {
    report.fail("the feature map's scale is negative or not finite", "; accepted are finite values from 0 on",
                "; leave it at its default, 1 / sqrt(head_dim)");
  }
}

}  // namespace detail

/// score(s) = C0 + C1 s + C2 s^2 on s = scale <q, k>; prepare multiplies each row by sqrt(scale).
/// C0, C1, C2 are std::ratio types, none negative. Source: docs/math.md; Power attention arXiv:2507.04239.
template <int HeadDim, class C0, class C1, class C2>
struct polynomial {
  static_assert(HeadDim >= 1, "linattn::polynomial: head_dim below 1; a positive head_dim; name the size of a row");
  static_assert(C0::num >= 0 && C1::num >= 0 && C2::num >= 0 && C0::num + C1::num + C2::num > 0,
                "linattn::polynomial: a negative coefficient, or none; coefficients from 0 on, one of them positive; "
                "a negative one has no real features, use the parallel form of a map of your own");
  using packed = detail::packed_polynomial<HeadDim, C0, C1, C2>;
  using gradients = no_gradients;
  static constexpr char const* name = "polynomial";
  static constexpr int head_dim = HeadDim;
  static constexpr int feature_dim = packed::feature_dim;
  static constexpr bool all_heads = false;
  static constexpr int gradient_size = 0;
  static constexpr double c0 = packed::c0, c1 = packed::c1, c2 = packed::c2;

  double scale = 1.0 / detail::constexpr_sqrt(HeadDim);

  template <class T>
  LINATTN_HOST_DEVICE void prepare(T* x, role, int /*head*/) const {
    T const factor = root_scale<T>();
    for (int i = 0; i < HeadDim; ++i) {
      x[i] = x[i] * factor;
    }
  }
  template <class T>
  LINATTN_HOST_DEVICE T score(T s) const {
    return packed::score(s);
  }
  template <class T>
  LINATTN_HOST_DEVICE T feature(T const* x, int n) const {
    return packed::feature(x, n);
  }
  template <class T>
  LINATTN_HOST_DEVICE T score_grad(T s) const {
    return packed::score_grad(s);
  }
  template <class T>
  LINATTN_HOST_DEVICE void feature_backward(T const* x, int n, T g, T* grad) const {
    packed::feature_backward(x, n, g, grad);
  }
  template <class T>
  LINATTN_HOST_DEVICE void prepare_backward(T const* /*x*/, T* grad, role r, int head, T* /*partial*/) const {
    prepare(grad, r, head);  // linear: the same factor
  }
  template <class T>
  void accumulate(gradients const&, role, int /*head*/, T const* /*partial*/) const {}
  void check_gradients(gradients const&, diagnostic&, std::int64_t, std::int64_t) const noexcept {}
  void check(diagnostic& report, std::int64_t /*heads*/, std::int64_t /*kv_heads*/) const noexcept {
    detail::check_scale(report, scale);
  }

 private:
  template <class T>
  LINATTN_HOST_DEVICE T root_scale() const {
    using real = detail::scalar_t<T>;
    return T(std::sqrt(static_cast<real>(scale)));
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
