// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// short_convolution.hpp: the channels are in vector lanes.
#include "short_convolution.hpp"

#include <algorithm>

namespace example {

short_convolution::short_convolution(parameter_set& parameters, int row_width, int tap_count)
    : width(row_width),
      taps(tap_count),
      filter(parameters.add_normal(static_cast<std::size_t>(taps * width), 1.0F / static_cast<float>(taps))),
      bias(parameters.add_constant(static_cast<std::size_t>(width), 0)) {}

void short_convolution::forward(std::span<float const> values, float const* row, int before, float* result) const {
  float const* __restrict const weight = filter.of(values);
  float const* __restrict const start = bias.of(values);
  float* __restrict const sum = result;
  for (int c = 0; c < width; ++c) {
    sum[c] = start[c] + weight[c] * row[c];
  }
  for (int j = 1; j < std::min(taps, before + 1); ++j) {
    float const* __restrict const weight_j = weight + j * width;
    float const* __restrict const earlier = row - j * width;
    for (int c = 0; c < width; ++c) {
      sum[c] += weight_j[c] * earlier[c];
    }
  }
}

void short_convolution::backward_parameters(gradient_target target, float const* row, int before,
                                            float const* grad_sum) const {
  float const* __restrict const grad = grad_sum;
  float* __restrict const grad_bias = bias.of(target.gradients);
  for (int c = 0; c < width; ++c) {
    grad_bias[c] += grad[c];
  }
  for (int j = 0; j < std::min(taps, before + 1); ++j) {
    float* __restrict const grad_weight = filter.of(target.gradients) + j * width;
    float const* __restrict const earlier = row - j * width;
    for (int c = 0; c < width; ++c) {
      grad_weight[c] += grad[c] * earlier[c];
    }
  }
}

void short_convolution::backward_input(std::span<float const> values, float const* grad_sum, int after,
                                       float* grad_row) const {
  float* __restrict const result = grad_row;
  for (int j = 0; j < std::min(taps, after + 1); ++j) {
    float const* __restrict const weight = filter.of(values) + j * width;
    float const* __restrict const later = grad_sum + j * width;
    for (int c = 0; c < width; ++c) {
      result[c] += weight[c] * later[c];
    }
  }
}

recent_rows::recent_rows(int batch, short_convolution const& convolution)
    : width_(static_cast<std::size_t>(convolution.width)),
      kept_(static_cast<std::size_t>(convolution.taps - 1)),
      rows_(static_cast<std::size_t>(batch) * kept_ * width_, 0.0F),
      window_((kept_ + 1) * width_) {}

void recent_rows::keep_last(sequence_shape shape, float const* u) {
  std::size_t const kept = std::min(kept_, static_cast<std::size_t>(shape.time)) * width_;
  std::fill(rows_.begin(), rows_.end(), 0.0F);
  for (int b = 0; b < shape.batch; ++b) {
    auto const end = static_cast<std::size_t>(b + 1);
    std::copy_n(u + end * static_cast<std::size_t>(shape.time) * width_ - kept, kept,
                rows_.data() + end * kept_ * width_ - kept);
  }
}

float const* recent_rows::advance(int index, float const* row) {
  float* const rows = rows_.data() + static_cast<std::size_t>(index) * kept_ * width_;
  std::copy_n(rows, kept_ * width_, window_.data());
  std::copy_n(row, width_, window_.data() + kept_ * width_);
  std::copy_n(window_.data() + width_, kept_ * width_, rows);
  return window_.data() + kept_ * width_;
}

}  // namespace example
