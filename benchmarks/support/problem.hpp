// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A problem to time: tensors in (batch, time, head, channel) order, the verbs' arguments, and the relative L2 errors of
// sampled rows against the definition (definition.hpp), so that no wrong answer is timed.
#ifndef LINATTN_BENCHMARKS_SUPPORT_PROBLEM_HPP
#define LINATTN_BENCHMARKS_SUPPORT_PROBLEM_HPP

#include "support/definition.hpp"
#include "support/numbers.hpp"

#include <linattn/linattn.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace linattn_benchmark {

struct shape {
  std::int64_t batch = 1, heads = 8, time = 2048, value_dim = 64;
  [[nodiscard]] std::int64_t rows() const { return batch * heads * time; }
};

/// What a relative L2 error of a row may be: outputs are rounded to the element type, sums are float.
template <linattn::Element Element>
inline constexpr double accepted_error = 2e-5;
template <>
inline constexpr double accepted_error<linattn::f16> = 1e-3;
template <>
inline constexpr double accepted_error<linattn::bf16> = 8e-3;

/// Fast products round their factors to bf16.
template <linattn::Element Element>
constexpr double accepted_error_of(linattn::precision products) {
  return products == linattn::precision::fast ? accepted_error<linattn::bf16> : accepted_error<Element>;
}

template <class Attention>
class problem {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;

  Attention attention;

  explicit problem(shape const& s, Attention const& attn = {})
      : attention(attn), shape_(s), denominator_(static_cast<std::size_t>(s.rows())) {}

  [[nodiscard]] typename Attention::forward_args forward_args() {
    return {.q = view(tensor::q),
            .k = view(tensor::k),
            .v = view(tensor::v),
            .out = view(tensor::out),
            .denominator = linattn::view_bth(denominator_.data(), shape_.batch, shape_.time, shape_.heads)};
  }

  /// As a training step has them: out and the denominator were saved by forward.
  [[nodiscard]] typename Attention::backward_args backward_args() {
    return {.q = view(tensor::q),
            .k = view(tensor::k),
            .v = view(tensor::v),
            .out = view(tensor::out),
            .denominator = linattn::view_bth(denominator_.data(), shape_.batch, shape_.time, shape_.heads),
            .grad_out = view(tensor::grad_out),
            .grad_q = view(tensor::grad_q),
            .grad_k = view(tensor::grad_k),
            .grad_v = view(tensor::grad_v)};
  }

  /// The largest error of forward's rows. It runs forward.
  [[nodiscard]] double forward_error(linattn::cpu_executor const& exec) {
    fill_with_nan<element>(tensor::out, shape_.rows() * shape_.value_dim);
    linattn::forward(exec, attention, forward_args());
    return largest_of_rows({tensor::out});
  }

  /// The largest error of the three gradients' rows. It runs forward and backward.
  [[nodiscard]] double backward_error(linattn::cpu_executor const& exec) {
    double const forward = forward_error(exec);
    for (tensor const x : {tensor::grad_q, tensor::grad_k, tensor::grad_v}) {
      fill_with_nan<element>(x, shape_.rows() * channels(x));
    }
    linattn::backward(exec, attention, backward_args());
    return larger(forward, largest_of_rows({tensor::grad_q, tensor::grad_k, tensor::grad_v}));
  }

  /// The arguments of step for one token, and the error of the row that it wrote.
  [[nodiscard]] typename Attention::step_args step_args(std::int64_t t) {
    return {.q = token(tensor::q, t), .k = token(tensor::k, t), .v = token(tensor::v, t), .out = token(tensor::out, t)};
  }
  [[nodiscard]] double step_error(std::int64_t t) {
    double worst = 0;
    for (std::int64_t const batch : {std::int64_t{0}, shape_.batch - 1}) {
      for (std::int64_t const head : {std::int64_t{0}, shape_.heads - 1}) {
        worst = larger(worst, row_error(tensor::out, batch, head, t));
      }
    }
    return worst;
  }

 private:
  [[nodiscard]] std::int64_t channels(tensor x) const {
    bool const of_values = x == tensor::v || x == tensor::out || x == tensor::grad_out || x == tensor::grad_v;
    return of_values ? shape_.value_dim : map::head_dim;
  }
  [[nodiscard]] element* memory(tensor x) const { return memory_of<element>(x, shape_.rows() * channels(x)); }
  [[nodiscard]] linattn::tensor_view<element, 4> view(tensor x) const {
    return linattn::view_bthd(memory(x), shape_.batch, shape_.time, shape_.heads, channels(x));
  }
  [[nodiscard]] linattn::tensor_view<element, 4> token(tensor x, std::int64_t t) const {
    linattn::tensor_view<element, 4> one = view(x);
    one.data += t * one.strides[2];
    one.extents[2] = 1;
    return one;
  }

  /// NaN is larger than any number: an error that is no number is an error.
  static double larger(double a, double b) { return !(b <= a) ? b : a; }

  /// Not the first rows: one key has the same output whatever its weight, so the gradient by it is rounding alone.
  [[nodiscard]] double largest_of_rows(std::vector<tensor> const& tensors) {
    double worst = 0;
    for (tensor const x : tensors) {
      for (std::int64_t const head : {std::int64_t{0}, shape_.heads - 1}) {
        for (std::int64_t const t : {shape_.time / 4, shape_.time / 2, shape_.time - 1}) {
          worst = larger(worst, row_error(x, shape_.batch - 1, head, t));
        }
      }
    }
    return worst;
  }

  [[nodiscard]] double row_error(tensor x, std::int64_t batch, std::int64_t head, std::int64_t t) {
    definition<Attention> const exact{attention,         forward_args(), view(tensor::grad_out),
                                      view(tensor::out), batch,          head};
    std::vector<double> want;
    switch (x) {
      case tensor::out:
        want = exact.out(t);
        break;
      case tensor::grad_q:
        want = exact.grad_q(t);
        break;
      case tensor::grad_k:
        want = exact.grad_k(t);
        break;
      case tensor::grad_v:
        want = exact.grad_v(t);
        break;
      default:
        return std::numeric_limits<double>::quiet_NaN();
    }
    linattn::tensor_view<element, 4> const got = view(x);
    double error = 0;
    double size = 0;
    for (std::size_t c = 0; c < want.size(); ++c) {
      double const difference = static_cast<double>(static_cast<float>(got(batch, head, t, c))) - want[c];
      error += difference * difference;
      size += want[c] * want[c];
    }
    return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
  }

  shape shape_;
  std::vector<float> denominator_;
};

}  // namespace linattn_benchmark

#endif
