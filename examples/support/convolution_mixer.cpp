// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// convolution_mixer.hpp: the gate is one product, the rest one pass over the rows with the channels in vector lanes.
#include "convolution_mixer.hpp"

#include <algorithm>

namespace example {
namespace {

/// The last taps - 1 rows of each sequence, oldest first; zero rows before the start, as in the convolution.
struct recent_rows final : mixer_state {
  recent_rows(int batch, std::size_t floats_per_sequence)
      : sequence_size(floats_per_sequence), rows(static_cast<std::size_t>(batch) * floats_per_sequence, 0.0F) {}
  std::size_t sequence_size;
  buffer rows;
};

/// sum = bias + sum_j filter[j] * row[-j], over the taps that exist.
void convolve_row(float const* __restrict filter, float const* __restrict bias, float const* __restrict row, int taps,
                  int width, float* __restrict sum) {
  for (int c = 0; c < width; ++c) {
    sum[c] = bias[c] + filter[c] * row[c];
  }
  for (int j = 1; j < taps; ++j) {
    float const* __restrict weight = filter + j * width;
    float const* __restrict earlier = row - j * width;
    for (int c = 0; c < width; ++c) {
      sum[c] += weight[c] * earlier[c];
    }
  }
}

}  // namespace

convolution_mixer::convolution_mixer(parameter_set& parameters, int width, int taps, float deviation)
    : width_(width),
      taps_(taps),
      gate_(parameters, width, width, deviation, /*with_bias=*/true),
      filter_(parameters.add_normal(static_cast<std::size_t>(taps * width), 1.0F / static_cast<float>(taps))),
      filter_bias_(parameters.add_constant(static_cast<std::size_t>(width), 0)) {}

std::size_t convolution_mixer::saved_size(sequence_shape shape) const {
  return static_cast<std::size_t>(shape.rows() * width_);  // the gate W u + b
}

std::size_t convolution_mixer::scratch_size(sequence_shape shape) const {
  return static_cast<std::size_t>((shape.rows() + 1) * width_);  // the gradient of conv(u), and one row
}

void convolution_mixer::forward(std::span<float const> values, sequence_shape shape, float const* u, float* out,
                                float* saved, mixer_state* final_state) const {
  gate_.forward(values, u, shape.rows(), saved);
  buffer sum(static_cast<std::size_t>(width_));
  for (int row = 0; row < shape.rows(); ++row) {
    int const taps = std::min(taps_, row % shape.time + 1);
    float const* __restrict in = u + row * width_;
    float const* __restrict gate = saved + row * width_;
    float* __restrict result = out + row * width_;
    convolve_row(filter_.of(values), filter_bias_.of(values), in, taps, width_, sum.data());
    for (int c = 0; c < width_; ++c) {
      result[c] += sum[static_cast<std::size_t>(c)] * gate[c] + in[c];
    }
  }
  if (final_state != nullptr) {
    auto& state = dynamic_cast<recent_rows&>(*final_state);
    int const kept = std::min(taps_ - 1, shape.time);
    std::fill(state.rows.begin(), state.rows.end(), 0.0F);
    for (int b = 0; b < shape.batch; ++b) {
      float* const end = state.rows.data() + static_cast<std::size_t>(b + 1) * state.sequence_size;
      std::copy_n(u + ((b + 1) * shape.time - kept) * width_, kept * width_, end - kept * width_);
    }
  }
}

void convolution_mixer::backward(gradient_target target, sequence_shape shape, float const* u, float* saved,
                                 float const* grad_out, float* grad_u, float* scratch) const {
  float const* const filter = filter_.of(target.values);
  float* const grad_filter = filter_.of(target.gradients);
  float* const grad_bias = filter_bias_.of(target.gradients);
  float* const grad_sum = scratch;
  float* const __restrict sum = scratch + shape.rows() * width_;
  // Out of (gate, grad_out): the gradient of conv(u) into grad_sum; then of the gate, in the gate's own place.
  for (int row = 0; row < shape.rows(); ++row) {
    int const taps = std::min(taps_, row % shape.time + 1);
    float const* __restrict grad = grad_out + row * width_;
    float* __restrict gate = saved + row * width_;
    float* __restrict grad_row = grad_sum + row * width_;
    convolve_row(filter, filter_bias_.of(target.values), u + row * width_, taps, width_, sum);
    for (int c = 0; c < width_; ++c) {
      grad_row[c] = grad[c] * gate[c];
      gate[c] = grad[c] * sum[c];
      grad_bias[c] += grad_row[c];
    }
    for (int j = 0; j < taps; ++j) {
      float* __restrict grad_weight = grad_filter + j * width_;
      float const* __restrict earlier = u + (row - j) * width_;
      for (int c = 0; c < width_; ++c) {
        grad_weight[c] += grad_row[c] * earlier[c];
      }
    }
  }
  gate_.backward(target, u, shape.rows(), saved, grad_u);
  for (int row = 0; row < shape.rows(); ++row) {
    int const taps = std::min(taps_, shape.time - row % shape.time);
    float const* __restrict grad = grad_out + row * width_;
    float* __restrict result = grad_u + row * width_;
    for (int c = 0; c < width_; ++c) {
      result[c] += grad[c];
    }
    for (int j = 0; j < taps; ++j) {
      float const* __restrict weight = filter + j * width_;
      float const* __restrict later = grad_sum + (row + j) * width_;
      for (int c = 0; c < width_; ++c) {
        result[c] += weight[c] * later[c];
      }
    }
  }
}

std::unique_ptr<mixer_state> convolution_mixer::make_state(int batch) const {
  return std::make_unique<recent_rows>(batch, static_cast<std::size_t>((taps_ - 1) * width_));
}

void convolution_mixer::step(std::span<float const> values, int batch, float const* u, float* out,
                             mixer_state& state) const {
  auto& recent = dynamic_cast<recent_rows&>(state);
  auto const width = static_cast<std::size_t>(width_);
  buffer gate(static_cast<std::size_t>(batch) * width);
  buffer window(recent.sequence_size + width);
  buffer sum(width);
  gate_.forward(values, u, batch, gate.data());
  for (int b = 0; b < batch; ++b) {
    float* const rows = recent.rows.data() + static_cast<std::size_t>(b) * recent.sequence_size;
    std::copy_n(rows, recent.sequence_size, window.begin());
    std::copy_n(u + b * width_, width_, window.begin() + static_cast<std::ptrdiff_t>(recent.sequence_size));
    convolve_row(filter_.of(values), filter_bias_.of(values), window.data() + recent.sequence_size, taps_, width_,
                 sum.data());
    for (std::size_t c = 0; c < width; ++c) {
      std::size_t const at = static_cast<std::size_t>(b) * width + c;
      out[at] += sum[c] * gate[at] + u[at];
    }
    std::copy_n(window.begin() + width_, recent.sequence_size, rows);
  }
}

}  // namespace example
