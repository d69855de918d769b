// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Linear, LayerNorm, embedding and cross-entropy, forward and backward. Each layer holds slices of the flat parameter
// array and no activations: whoever calls backward passes back what forward read and wrote. Rows are tokens.
#pragma once

#include <span>

#include "dense.hpp"
#include "parameters.hpp"

namespace example {

/// As a deviation of start values: N(0, 1 / (3 in_width)), the variance of PyTorch's layers. What a layer writes is
/// then as large at any width.
inline constexpr float kByWidth = 0;

/// y = x W + b; W is (in, out) and starts at N(0, deviation), the bias is optional.
struct linear {
  linear(parameter_set& parameters, int in_width, int out_width, float deviation, bool with_bias);

  void forward(std::span<float const> values, float const* x, int rows, float* y) const;
  /// y += x W + b: a residual branch's last layer.
  void forward_add(std::span<float const> values, float const* x, int rows, float* y) const;
  /// Adds the gradients of W and b; grad_x is overwritten.
  void backward(gradient_target target, float const* x, int rows, float const* grad_y, float* grad_x) const;

  int in, out;
  parameter weight, bias;
};

/// y = gain * (x - mean) / sqrt(variance + 1e-5) + offset, per row.
struct layer_norm {
  layer_norm(parameter_set& parameters, int row_width);

  /// statistics: 2 floats a row (mean, 1 / deviation), kept for backward.
  void forward(std::span<float const> values, float const* x, int rows, float* y, float* statistics) const;
  /// grad_x += the gradient through the norm: the caller's grad_x already holds the residual branch's.
  void backward(gradient_target target, float const* x, float const* statistics, int rows, float const* grad_y,
                float* grad_x) const;

  int width;
  parameter gain, offset;
};

/// A table of token vectors that is read at the input and, transposed, gives the logits (tied).
struct embedding {
  embedding(parameter_set& parameters, int symbols, int row_width, float deviation);

  void look_up(std::span<float const> values, std::span<int const> tokens, float* x) const;
  void look_up_backward(gradient_target target, std::span<int const> tokens, float const* grad_x) const;
  void logits(std::span<float const> values, float const* x, int rows, float* logits) const;
  void logits_backward(gradient_target target, float const* x, int rows, float const* grad_logits, float* grad_x) const;

  int vocabulary, width;
  parameter table;
};

/// Sum over rows of -log softmax(logits)[target]; logits becomes its gradient times `scale`. A negative target is
/// ignored.
double cross_entropy(float* logits, std::span<int const> targets, int vocabulary, float scale);

}  // namespace example
