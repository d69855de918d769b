// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The layers of layers.hpp: products through dense.hpp, the rest as row loops that the compiler vectorises.
#include "layers.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace example {
namespace {

using row_view = Eigen::Map<Eigen::ArrayXf>;
using const_row_view = Eigen::Map<Eigen::ArrayXf const>;

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

float by_width(int in_width) { return 1 / std::sqrt(3 * static_cast<float>(in_width)); }

void add_to_rows(float const* row, int rows, int width, float* y) {
  for (int r = 0; r < rows; ++r) {
    row_view(y + product(r, width), width) += const_row_view(row, width);
  }
}

}  // namespace

linear::linear(parameter_set& parameters, int in_width, int out_width, float deviation, bool with_bias)
    : in(in_width),
      out(out_width),
      weight(
          parameters.add_normal(product(in_width, out_width), deviation == kByWidth ? by_width(in_width) : deviation)),
      bias(parameters.add_constant(with_bias ? static_cast<std::size_t>(out_width) : 0, 0)) {}

void linear::forward(std::span<float const> values, float const* x, int rows, float* y) const {
  multiply({x, rows, in}, {weight.of(values), in, out}, {y, rows, out});
  if (bias.size != 0) {
    add_to_rows(bias.of(values), rows, out, y);
  }
}

void linear::forward_add(std::span<float const> values, float const* x, int rows, float* y) const {
  add_product({x, rows, in}, {weight.of(values), in, out}, {y, rows, out});
  if (bias.size != 0) {
    add_to_rows(bias.of(values), rows, out, y);
  }
}

void linear::backward(gradient_target target, float const* x, int rows, float const* grad_y, float* grad_x) const {
  add_transposed_product({x, rows, in}, {grad_y, rows, out}, {weight.of(target.gradients), in, out});
  if (bias.size != 0) {
    add_column_sums({grad_y, rows, out}, bias.of(target.gradients));
  }
  multiply_by_transpose({grad_y, rows, out}, {weight.of(target.values), in, out}, {grad_x, rows, in});
}

layer_norm::layer_norm(parameter_set& parameters, int row_width)
    : width(row_width),
      gain(parameters.add_constant(static_cast<std::size_t>(row_width), 1)),
      offset(parameters.add_constant(static_cast<std::size_t>(row_width), 0)) {}

void layer_norm::forward(std::span<float const> values, float const* x, int rows, float* y, float* statistics) const {
  const_row_view const gains(gain.of(values), width);
  const_row_view const offsets(offset.of(values), width);
  for (int r = 0; r < rows; ++r) {
    const_row_view const in(x + product(r, width), width);
    float const mean = in.mean();
    float const inverse_deviation = 1 / std::sqrt((in - mean).square().mean() + 1e-5F);
    row_view(y + product(r, width), width) = (in - mean) * inverse_deviation * gains + offsets;
    statistics[product(r, 2)] = mean;
    statistics[product(r, 2) + 1] = inverse_deviation;
  }
}

void layer_norm::backward(gradient_target target, float const* x, float const* statistics, int rows,
                          float const* grad_y, float* grad_x) const {
  const_row_view const gains(gain.of(target.values), width);
  row_view grad_gain(gain.of(target.gradients), width);
  row_view grad_offset(offset.of(target.gradients), width);
  Eigen::ArrayXf normal(width);
  Eigen::ArrayXf grad_normal(width);
  for (int r = 0; r < rows; ++r) {
    const_row_view const grad(grad_y + product(r, width), width);
    float const inverse_deviation = statistics[product(r, 2) + 1];
    normal = (const_row_view(x + product(r, width), width) - statistics[product(r, 2)]) * inverse_deviation;
    grad_gain += grad * normal;
    grad_offset += grad;
    grad_normal = grad * gains;
    float const mean = grad_normal.mean();
    float const slope = (grad_normal * normal).mean();
    row_view(grad_x + product(r, width), width) += (grad_normal - mean - normal * slope) * inverse_deviation;
  }
}

embedding::embedding(parameter_set& parameters, int symbols, int row_width, float deviation)
    : vocabulary(symbols), width(row_width), table(parameters.add_normal(product(symbols, row_width), deviation)) {}

void embedding::look_up(std::span<float const> values, std::span<int const> tokens, float* x) const {
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    std::copy_n(table.of(values) + product(tokens[row], width), width, x + row * static_cast<std::size_t>(width));
  }
}

void embedding::look_up_backward(gradient_target target, std::span<int const> tokens, float const* grad_x) const {
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    row_view(table.of(target.gradients) + product(tokens[row], width), width) +=
        const_row_view(grad_x + row * static_cast<std::size_t>(width), width);
  }
}

void embedding::logits(std::span<float const> values, float const* x, int rows, float* logits) const {
  multiply_by_transpose({x, rows, width}, {table.of(values), vocabulary, width}, {logits, rows, vocabulary});
}

void embedding::logits_backward(gradient_target target, float const* x, int rows, float const* grad_logits,
                                float* grad_x) const {
  add_transposed_product({grad_logits, rows, vocabulary}, {x, rows, width},
                         {table.of(target.gradients), vocabulary, width});
  multiply({grad_logits, rows, vocabulary}, {table.of(target.values), vocabulary, width}, {grad_x, rows, width});
}

double cross_entropy(float* logits, std::span<int const> targets, int vocabulary, float scale) {
  double loss = 0;
  for (std::size_t row = 0; row < targets.size(); ++row) {
    row_view values(logits + row * static_cast<std::size_t>(vocabulary), vocabulary);
    if (targets[row] < 0) {
      values = 0;
      continue;
    }
    float const largest = values.maxCoeff();
    float const at_target = values[targets[row]];
    values = (values - largest).exp();
    float const total = values.sum();
    loss += std::log(static_cast<double>(total)) - static_cast<double>(at_target - largest);
    values *= scale / total;
    values[targets[row]] -= scale;
  }
  return loss;
}

}  // namespace example
