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
#include <linattn/feature/packed_features.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <ratio>

namespace linattn::inline LINATTN_ABI {

namespace detail {

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
  using packed_owner = polynomial;
  using gradients = no_gradients;
  static constexpr char const* name = "polynomial";
  static constexpr int head_dim = HeadDim;
  static constexpr int feature_dim = packed::feature_dim;
  static constexpr bool all_heads = false;
  static constexpr bool vectorized = true;
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
  LINATTN_HOST_DEVICE void accumulate(gradients const&, role, int /*head*/, int /*n*/, T /*sum*/) const {}
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
