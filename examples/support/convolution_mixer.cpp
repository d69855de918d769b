// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// convolution_mixer.hpp: the gate is one product, the rest one pass over the rows with the channels in vector lanes.
#include "convolution_mixer.hpp"

namespace example {
namespace {

struct convolution_state final : mixer_state {
  convolution_state(int batch, short_convolution const& convolution) : recent(batch, convolution) {}
  std::size_t bytes() const override { return recent.bytes(); }
  recent_rows recent;
};

}  // namespace

convolution_mixer::convolution_mixer(parameter_set& parameters, int width, int taps, float deviation)
    : width_(width),
      gate_(parameters, width, width, deviation, /*with_bias=*/true),
      convolution_(parameters, width, taps) {}

std::size_t convolution_mixer::saved_size(sequence_shape shape) const {
  return static_cast<std::size_t>(2 * shape.rows() * width_);  // the gate W u + b, and conv(u)
}

std::size_t convolution_mixer::scratch_size(sequence_shape shape) const {
  return static_cast<std::size_t>(shape.rows() * width_);  // the gradient of conv(u)
}

void convolution_mixer::forward(std::span<float const> values, sequence_shape shape, float const* u, float* out,
                                float* saved, mixer_state* final_state) const {
  gate_.forward(values, u, shape.rows(), saved);
  float* const sums = saved + shape.rows() * width_;
  for (int row = 0; row < shape.rows(); ++row) {
    float const* __restrict in = u + row * width_;
    float const* __restrict gate = saved + row * width_;
    float* __restrict sum = sums + row * width_;
    float* __restrict result = out + row * width_;
    convolution_.forward(values, in, row % shape.time, sum);
    for (int c = 0; c < width_; ++c) {
      result[c] += sum[c] * gate[c] + in[c];
    }
  }
  if (final_state != nullptr) {
    dynamic_cast<convolution_state&>(*final_state).recent.keep_last(shape, u);
  }
}

void convolution_mixer::backward(gradient_target target, sequence_shape shape, float const* u, float* saved,
                                 float const* grad_out, float* grad_u, float* scratch) const {
  float* const grad_sum = scratch;
  float const* const sums = saved + shape.rows() * width_;
  // Out of (gate, grad_out): the gradient of conv(u) into grad_sum; then of the gate, in the gate's own place.
  for (int row = 0; row < shape.rows(); ++row) {
    float const* __restrict grad = grad_out + row * width_;
    float* __restrict gate = saved + row * width_;
    float const* __restrict sum = sums + row * width_;
    float* __restrict grad_row = grad_sum + row * width_;
    for (int c = 0; c < width_; ++c) {
      grad_row[c] = grad[c] * gate[c];
      gate[c] = grad[c] * sum[c];
    }
    convolution_.backward_parameters(target, u + row * width_, row % shape.time, grad_row);
  }
  gate_.backward(target, u, shape.rows(), saved, grad_u);
  for (int row = 0; row < shape.rows(); ++row) {
    float const* __restrict grad = grad_out + row * width_;
    float* __restrict result = grad_u + row * width_;
    for (int c = 0; c < width_; ++c) {
      result[c] += grad[c];
    }
    convolution_.backward_input(target.values, grad_sum + row * width_, shape.time - 1 - row % shape.time, result);
  }
}

std::unique_ptr<mixer_state> convolution_mixer::make_state(int batch) const {
  return std::make_unique<convolution_state>(batch, convolution_);
}

void convolution_mixer::step(std::span<float const> values, int batch, float const* u, float* out,
                             mixer_state& state) const {
  auto& recent = dynamic_cast<convolution_state&>(state).recent;
  buffer gate(static_cast<std::size_t>(batch * width_));
  buffer sum(static_cast<std::size_t>(width_));
  gate_.forward(values, u, batch, gate.data());
  for (int b = 0; b < batch; ++b) {
    convolution_.forward(values, recent.advance(b, u + b * width_), convolution_.taps - 1, sum.data());
    for (int c = 0; c < width_; ++c) {
      int const at = b * width_ + c;
      out[at] += sum[static_cast<std::size_t>(c)] * gate[static_cast<std::size_t>(at)] + u[at];
    }
  }
}

}  // namespace example
