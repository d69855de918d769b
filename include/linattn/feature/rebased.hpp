// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ReBased's map: the square of <q~, k~>, where q~ and k~ are normalised and then given a learnable scale and shift.
#ifndef LINATTN_FEATURE_REBASED_HPP
#define LINATTN_FEATURE_REBASED_HPP

#include <linattn/core/tensor_view.hpp>
#include <linattn/feature/polynomial.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI {

/// What rebased normalises before gamma and beta: nothing; each head's row; or the rows of all heads of a token
/// jointly.
enum class normalize : std::uint8_t { none, layer_norm, layer_norm_all_heads };

namespace detail {

/// y = (x - mean) * rstd over `size` numbers, in place.
template <class T>
LINATTN_HOST_DEVICE void layer_norm_in_place(T* x, int size, double eps) {
  using real = scalar_t<T>;
  T const per_row = T(real(1) / static_cast<real>(size));
  T sum = T(real(0));
  for (int i = 0; i < size; ++i) {
    sum = sum + x[i];
  }
  T const mean = sum * per_row;
  T squares = T(real(0));
  for (int i = 0; i < size; ++i) {
    x[i] = x[i] - mean;
    squares = squares + x[i] * x[i];
  }
  T const rstd = rsqrt(squares * per_row + T(static_cast<real>(eps)));
  for (int i = 0; i < size; ++i) {
    x[i] = x[i] * rstd;
  }
}

/// The same of rows that are only read.
template <class T>
struct row_moments {
  T mean = T(scalar_t<T>(0));
  T rstd = T(scalar_t<T>(1));

  LINATTN_HOST_DEVICE T apply(T x) const { return (x - mean) * rstd; }
};

template <class T>
LINATTN_HOST_DEVICE row_moments<T> moments_of(T const* x, int size, double eps) {
  using real = scalar_t<T>;
  T const per_row = T(real(1) / static_cast<real>(size));
  T sum = T(real(0));
  for (int i = 0; i < size; ++i) {
    sum = sum + x[i];
  }
  T const mean = sum * per_row;
  T squares = T(real(0));
  for (int i = 0; i < size; ++i) {
    T const centred = x[i] - mean;
    squares = squares + centred * centred;
  }
  return {mean, rsqrt(squares * per_row + T(static_cast<real>(eps)))};
}

}  // namespace detail

/// x' = (gamma * norm(x) + beta) * sqrt(scale), score(s) = s^2: d (d + 1) / 2 packed features (136 at d = 16).
/// Shapes   each parameter (head_dim), shared by all heads, or (heads, head_dim); an absent one is gamma = 1, beta = 0;
///          with rank 2, gamma_k and beta_k have the key heads. q and k share parameters when given the same views.
/// Source   ReBased, arXiv:2402.10644; with normalize::none, or without parameters, it is the paper's ablations.
template <int HeadDim, normalize Norm = normalize::layer_norm, std::floating_point Parameter = float>
struct rebased {
  static_assert(HeadDim >= 1, "linattn::rebased: head_dim below 1; a positive head_dim; name the size of a row");
  using packed = detail::packed_polynomial<HeadDim, std::ratio<0>, std::ratio<0>, std::ratio<1>>;
  using packed_owner = rebased;
  static constexpr char const* name = Norm == normalize::none         ? "rebased/none"
                                      : Norm == normalize::layer_norm ? "rebased/layer_norm"
                                                                      : "rebased/layer_norm_all_heads";
  static constexpr int head_dim = HeadDim;
  static constexpr int feature_dim = packed::feature_dim;
  static constexpr bool vectorized = true;
  static constexpr bool all_heads = Norm == normalize::layer_norm_all_heads;
  static constexpr double c0 = 0, c1 = 0, c2 = 1;
  /// A LayerNorm bounds its rows: a backend may keep features in f16.
  static constexpr bool bounded = Norm != normalize::none;

  struct parameter_set {
    parameter_view<Parameter const> gamma_q{}, beta_q{}, gamma_k{}, beta_k{};
  };
  /// Where the gradients of the parameters are added; an absent view is not wanted.
  struct gradients {
    parameter_view<Parameter> gamma_q{}, beta_q{}, gamma_k{}, beta_k{};
  };

  parameter_set parameters{};
  double scale = 1.0 / detail::constexpr_sqrt(HeadDim);
  double layer_norm_eps = 1e-5;

  /// `head` is the head of the row x, or the number of heads whose rows follow at x if all_heads.
  template <class T>
  LINATTN_HOST_DEVICE void prepare(T* x, role r, int head) const {
    using real = detail::scalar_t<T>;
    int const rows = all_heads ? head : 1;
    if constexpr (Norm != normalize::none) {
      detail::layer_norm_in_place(x, rows * HeadDim, layer_norm_eps);
    }
    T const root = T(std::sqrt(static_cast<real>(scale)));
    for (int row = 0; row < rows; ++row, x += HeadDim) {
      int const h = all_heads ? row : head;
      parameter_row const gammas = gamma_row(r, h);
      parameter_row const betas = beta_row(r, h);
      for (int i = 0; i < HeadDim && gammas.present(); ++i) {
        x[i] = x[i] * T(gammas.template at<real>(i));
      }
      for (int i = 0; i < HeadDim && betas.present(); ++i) {
        x[i] = x[i] + T(betas.template at<real>(i));
      }
      for (int i = 0; i < HeadDim; ++i) {
        x[i] = x[i] * root;
      }
    }
  }
  template <class T>
  LINATTN_HOST_DEVICE T score(T s) const {
    return s * s;
  }
  template <class T>
  LINATTN_HOST_DEVICE T feature(T const* x, int n) const {
    return packed::feature(x, n);
  }
  template <class T>
  LINATTN_HOST_DEVICE T score_grad(T s) const {
    return s + s;
  }
  template <class T>
  LINATTN_HOST_DEVICE void feature_backward(T const* x, int n, T g, T* grad) const {
    packed::feature_backward(x, n, g, grad);
  }

  /// Partial sums of a head: head_dim numbers for gamma, then head_dim for beta.
  static constexpr int gradient_size = 2 * HeadDim;

  /// x is only read, and its statistics are taken again: a copy of its rows may be too much for a thread.
  template <class T>
  LINATTN_HOST_DEVICE void prepare_backward(T const* x, T* grad, role r, int head, T* partial) const {
    using real = detail::scalar_t<T>;
    int const rows = all_heads ? head : 1;
    int const size = rows * HeadDim;
    T const root = T(std::sqrt(static_cast<real>(scale)));
    detail::row_moments<T> norm{};
    if constexpr (Norm != normalize::none) {
      norm = detail::moments_of(x, size, layer_norm_eps);
    }
    T sum = T(real(0));  // of what becomes the gradient by the normalised rows, and its product with them
    T dot = T(real(0));
    for (int row = 0; row < rows; ++row) {
      int const h = all_heads ? row : head;
      parameter_row const gammas = gamma_row(r, h);
      T* const sums = partial + row * gradient_size;
      for (int i = 0; i < HeadDim; ++i) {
        int const at = row * HeadDim + i;
        T const y = norm.apply(x[at]);
        T const g = grad[at] * root;
        sums[i] = sums[i] + g * y;
        sums[HeadDim + i] = sums[HeadDim + i] + g;
        grad[at] = gammas.present() ? g * T(gammas.template at<real>(i)) : g;
        sum = sum + grad[at];
        dot = dot + grad[at] * y;
      }
    }
    if constexpr (Norm != normalize::none) {
      T const per_row = T(real(1) / static_cast<real>(size));
      T const mean = sum * per_row;
      T const along = dot * per_row;
      for (int i = 0; i < size; ++i) {
        grad[i] = (grad[i] - mean - norm.apply(x[i]) * along) * norm.rstd;
      }
    }
  }

  /// Adds a finished sum to the user's views: head by head, or all heads to the one row of a rank-1 view.
  template <class T>
  LINATTN_HOST_DEVICE void accumulate(gradients const& grads, role r, int head, int n, T sum) const {
    auto const& gammas = r == role::query ? grads.gamma_q : grads.gamma_k;
    auto const& betas = r == role::query ? grads.beta_q : grads.beta_k;
    auto const& to = n < HeadDim ? gammas : betas;
    if (to.present()) {
      to(head, n % HeadDim) += static_cast<Parameter>(sum);
    }
  }

  void check(diagnostic& report, std::int64_t heads, std::int64_t kv_heads) const noexcept {
    detail::check_scale(report, scale);
    if (!(layer_norm_eps >= 0 && layer_norm_eps <= 1e300)) {
      report.fail("layer_norm_eps is negative or not finite; accepted are finite values from 0 on; use 1e-5");
    }
    check_one(report, "gamma_q", parameters.gamma_q, heads);
    check_one(report, "beta_q", parameters.beta_q, heads);
    check_one(report, "gamma_k", parameters.gamma_k, kv_heads);
    check_one(report, "beta_k", parameters.beta_k, kv_heads);
  }

  void check_gradients(gradients const& grads, diagnostic& report, std::int64_t heads,
                       std::int64_t kv_heads) const noexcept {
    check_pair(report, "gamma_q", parameters.gamma_q, grads.gamma_q, heads);
    check_pair(report, "beta_q", parameters.beta_q, grads.beta_q, heads);
    check_pair(report, "gamma_k", parameters.gamma_k, grads.gamma_k, kv_heads);
    check_pair(report, "beta_k", parameters.beta_k, grads.beta_k, kv_heads);
  }

 private:
  /// A head's row of a parameter; none if it is absent.
  struct parameter_row {
    Parameter const* first;
    std::int64_t stride;

    [[nodiscard]] LINATTN_HOST_DEVICE bool present() const { return first != nullptr; }
    template <class Real>
    [[nodiscard]] LINATTN_HOST_DEVICE Real at(int i) const {
      return static_cast<Real>(first[i * stride]);
    }
  };
  static LINATTN_HOST_DEVICE parameter_row row_of(parameter_view<Parameter const> const& view, int head) {
    return {view.present() ? view.data + head * view.head_stride : nullptr, view.stride};
  }
  LINATTN_HOST_DEVICE parameter_row gamma_row(role r, int head) const {
    return row_of(r == role::query ? parameters.gamma_q : parameters.gamma_k, head);
  }
  LINATTN_HOST_DEVICE parameter_row beta_row(role r, int head) const {
    return row_of(r == role::query ? parameters.beta_q : parameters.beta_k, head);
  }

  template <class T>
  static bool check_one(diagnostic& report, char const* what, parameter_view<T> const& view,
                        std::int64_t heads) noexcept {
    if (view.present() && view.size != HeadDim) {
      return report.fail(what, " has ", view.size, " channels; the map's head_dim is ", HeadDim,
                         "; pass a view of shape (head_dim) or (heads, head_dim)");
    }
    if (view.present() && view.heads != 0 && view.heads != heads) {
      return report.fail(what, " has ", view.heads, " heads; accepted are ", heads,
                         " heads, or a view of rank 1 that all heads share; pass one row a head");
    }
    return true;
  }

  static void check_pair(diagnostic& report, char const* what, parameter_view<Parameter const> const& parameter,
                         parameter_view<Parameter> const& grad, std::int64_t heads) noexcept {
    if (!grad.present() || !check_one(report, what, grad, heads)) {
      return;
    }
    if (parameter.present() && (parameter.heads == 0) != (grad.heads == 0)) {
      report.fail("the gradient of ", what, " has rank ", grad.heads == 0 ? 1 : 2, "; its parameter has rank ",
                  parameter.heads == 0 ? 1 : 2, "; give both the same shape");
    }
    if (grad.stride == 0 || (grad.heads > 1 && grad.head_stride == 0)) {
      report.fail("the gradient of ", what, " has a stride of 0; outputs need distinct elements",
                  "; pass a view of rank 1 to sum over the heads");
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
