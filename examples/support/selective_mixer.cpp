// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// selective_mixer.hpp: products over all rows, the recurrence a row at a time with a channel's state in vector lanes.
#include "selective_mixer.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace example {
namespace {

constexpr int kState = selective_mixer::state_size;

using array_view = Eigen::Map<Eigen::ArrayXf>;
using const_array_view = Eigen::Map<Eigen::ArrayXf const>;

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

auto sigmoid(const_array_view const& x) { return (1 + (-x).exp()).inverse(); }

struct selective_state final : mixer_state {
  selective_state(int batch, short_convolution const& convolution)
      : recent(batch, convolution), values(product(batch * convolution.width, kState), 0.0F) {}
  std::size_t bytes() const override { return recent.bytes() + values.size() * sizeof(float); }

  recent_rows recent;
  buffer values;
};

/// factors[c][s] = exp(step[c] * -exp(log_decay[c][s])): how much of the state stays.
void decay_factors(float const* log_decay, float const* step, int channels, float* factors) {
  array_view all(factors, channels * kState);
  all = -const_array_view(log_decay, channels * kState).exp();
  for (int c = 0; c < channels; ++c) {
    array_view(factors + c * kState, kState) *= step[c];
  }
  all = all.exp();
}

}  // namespace

selective_mixer::selective_mixer(parameter_set& parameters, int width, float deviation)
    : width_(width),
      inner_(expand * width),
      rank_((width + 15) / 16),
      in_(parameters, width, inner_, deviation, /*with_bias=*/false),
      gate_(parameters, width, inner_, deviation, /*with_bias=*/false),
      convolution_(parameters, inner_, taps),
      low_(parameters, inner_, rank_, deviation, /*with_bias=*/false),
      in_out_(parameters, inner_, 2 * kState, deviation, /*with_bias=*/false),
      step_(parameters, rank_, inner_, deviation, /*with_bias=*/true),
      log_decay_(parameters.add_constant(product(inner_, kState), 0)),
      skip_(parameters.add_constant(static_cast<std::size_t>(inner_), 1)),
      out_(parameters, inner_, width, deviation, /*with_bias=*/false) {
  // As in Mamba: rates 1 .. state_size, and step sizes from 1e-3 to 0.1 (there drawn, here evenly spread over the
  // channels), which the bias gives through the inverse of softplus.
  float* const log_decay = log_decay_.of(parameters.values());
  float* const bias = step_.bias.of(parameters.values());
  for (int c = 0; c < inner_; ++c) {
    for (int s = 0; s < kState; ++s) {
      log_decay[c * kState + s] = std::log(static_cast<float>(s + 1));
    }
    float const step = 1e-3F * std::pow(100.0F, static_cast<float>(c) / static_cast<float>(std::max(1, inner_ - 1)));
    bias[c] = std::log(std::expm1(step));
  }
}

selective_mixer::activations selective_mixer::split(int rows, float* saved) const {
  auto take = [&](int row_width) {
    float* const first = saved;
    saved += product(rows, row_width);
    return first;
  };
  activations at{};
  for (float** const part : {&at.in, &at.gate, &at.convolved, &at.x, &at.step, &at.y, &at.gated}) {
    *part = take(inner_);
  }
  at.low = take(rank_);
  at.in_out = take(2 * kState);
  at.states = take(inner_ * kState);
  return at;
}

std::size_t selective_mixer::saved_size(sequence_shape shape) const {
  return product(shape.rows(), 7 * inner_ + rank_ + 2 * kState + inner_ * kState);
}

std::size_t selective_mixer::scratch_size(sequence_shape shape) const {
  // The gradients of the rows, but not of the states; of one state; its factors; the rates' gradients.
  return product(shape.rows(), 7 * inner_ + rank_ + 2 * kState) + product(3 * inner_, kState);
}

/// From the convolved branch to all that the recurrence takes.
void selective_mixer::project(std::span<float const> values, int rows, activations const& at) const {
  int const size = rows * inner_;
  const_array_view const convolved(at.convolved, size);
  array_view(at.x, size) = convolved * sigmoid(convolved);
  low_.forward(values, at.x, rows, at.low);
  in_out_.forward(values, at.x, rows, at.in_out);
  step_.forward(values, at.low, rows, at.step);
  array_view step(at.step, size);
  step = step.max(0.0F) + (1 + (-step.abs()).exp()).log();  // softplus
}

/// One token: the state before it -> the state after it (may be the same memory), and y.
void selective_mixer::scan(std::span<float const> values, activations const& at, int row, float const* before,
                           float* after, float* factors) const {
  float const* const x = at.x + product(row, inner_);
  float const* const step = at.step + product(row, inner_);
  float* const y = at.y + product(row, inner_);
  const_array_view const write(at.in_out + product(row, 2 * kState), kState);
  const_array_view const read(write.data() + kState, kState);
  decay_factors(log_decay_.of(values), step, inner_, factors);
  for (int c = 0; c < inner_; ++c) {
    array_view state(after + c * kState, kState);
    state = const_array_view(factors + c * kState, kState) * const_array_view(before + c * kState, kState) +
            step[c] * x[c] * write;
    y[c] = (state * read).sum() + skip_.of(values)[c] * x[c];
  }
}

void selective_mixer::finish(std::span<float const> values, int rows, activations const& at, float* out) const {
  const_array_view const gate(at.gate, rows * inner_);
  array_view(at.gated, rows * inner_) = const_array_view(at.y, rows * inner_) * gate * sigmoid(gate);
  out_.forward_add(values, at.gated, rows, out);
}

void selective_mixer::forward(std::span<float const> values, sequence_shape shape, float const* u, float* out,
                              float* saved, mixer_state* final_state) const {
  activations const at = split(shape.rows(), saved);
  in_.forward(values, u, shape.rows(), at.in);
  gate_.forward(values, u, shape.rows(), at.gate);
  for (int row = 0; row < shape.rows(); ++row) {
    convolution_.forward(values, at.in + product(row, inner_), row % shape.time, at.convolved + product(row, inner_));
  }
  project(values, shape.rows(), at);
  std::size_t const state_size_all = product(inner_, kState);
  buffer const zero(state_size_all, 0.0F);
  buffer factors(state_size_all);
  for (int row = 0; row < shape.rows(); ++row) {
    float* const after = at.states + static_cast<std::size_t>(row) * state_size_all;
    scan(values, at, row, row % shape.time == 0 ? zero.data() : after - state_size_all, after, factors.data());
  }
  finish(values, shape.rows(), at, out);
  if (final_state != nullptr) {
    auto& state = dynamic_cast<selective_state&>(*final_state);
    state.recent.keep_last(shape, at.in);
    for (int b = 0; b < shape.batch; ++b) {
      auto const last = static_cast<std::size_t>((b + 1) * shape.time - 1);
      std::copy_n(at.states + last * state_size_all, state_size_all,
                  state.values.data() + static_cast<std::size_t>(b) * state_size_all);
    }
  }
}

/// From the gradient of y to those of x, step and in_out, and of the recurrence's parameters.
void selective_mixer::scan_backward(gradient_target target, sequence_shape shape, activations const& at,
                                    activations const& grad, float* scratch) const {
  int const size = inner_ * kState;
  array_view grad_state(scratch, size);
  float* const factors = scratch + size;
  array_view grad_rates(scratch + 2 * size, size);
  buffer const zero(static_cast<std::size_t>(size), 0.0F);
  Eigen::ArrayXf const rates = -const_array_view(log_decay_.of(target.values), size).exp();
  float* const grad_skip = skip_.of(target.gradients);
  grad_rates = 0;
  for (int row = shape.rows(); row-- > 0;) {
    int const time = row % shape.time;
    std::size_t const first = product(row, inner_);
    float const* const after = at.states + product(row, size);
    float const* const before = time == 0 ? zero.data() : after - size;
    const_array_view const write(at.in_out + product(row, 2 * kState), kState);
    const_array_view const read(write.data() + kState, kState);
    array_view grad_write(grad.in_out + product(row, 2 * kState), kState);
    array_view grad_read(grad_write.data() + kState, kState);
    grad_write = 0;
    grad_read = 0;
    if (time == shape.time - 1) {
      grad_state = 0;
    }
    decay_factors(log_decay_.of(target.values), at.step + first, inner_, factors);
    for (int c = 0; c < inner_; ++c) {
      std::size_t const channel = first + static_cast<std::size_t>(c);
      float const x = at.x[channel];
      float const step = at.step[channel];
      float const grad_y = grad.y[channel];
      array_view grad_h(grad_state.data() + c * kState, kState);
      const_array_view const factor(factors + c * kState, kState);
      const_array_view const rate(rates.data() + c * kState, kState);
      const_array_view const previous(before + c * kState, kState);
      grad_h += grad_y * read;
      grad_read += grad_y * const_array_view(after + c * kState, kState);
      float const along_write = (grad_h * write).sum();
      float const along_rate = (grad_h * rate * factor * previous).sum();
      grad.step[channel] = along_rate + x * along_write;
      grad.x[channel] = grad_y * skip_.of(target.values)[c] + step * along_write;
      grad_skip[c] += grad_y * x;
      grad_write += step * x * grad_h;
      array_view(grad_rates.data() + c * kState, kState) += step * grad_h * factor * previous;
      grad_h *= factor;
    }
  }
  array_view(log_decay_.of(target.gradients), size) += grad_rates * rates;
}

void selective_mixer::backward(gradient_target target, sequence_shape shape, float const* u, float* saved,
                               float const* grad_out, float* grad_u, float* scratch) const {
  int const rows = shape.rows();
  int const size = rows * inner_;
  activations const at = split(rows, saved);
  activations const grad = split(rows, scratch);  // grad.states, the last part, is what scan_backward takes
  out_.backward(target, at.gated, rows, grad_out, grad.gated);
  const_array_view const gate(at.gate, size);
  const_array_view const grad_gated(grad.gated, size);
  array_view(grad.y, size) = grad_gated * gate * sigmoid(gate);
  array_view(grad.gate, size) =
      grad_gated * const_array_view(at.y, size) * sigmoid(gate) * (1 + gate * (1 - sigmoid(gate)));
  scan_backward(target, shape, at, grad, grad.states);

  array_view(grad.step, size) *= 1 - (-const_array_view(at.step, size)).exp();  // the derivative of softplus
  step_.backward(target, at.low, rows, grad.step, grad.low);
  low_.backward(target, at.x, rows, grad.low, grad.gated);  // grad.gated is free by now
  array_view(grad.x, size) += const_array_view(grad.gated, size);
  in_out_.backward(target, at.x, rows, grad.in_out, grad.gated);
  array_view(grad.x, size) += const_array_view(grad.gated, size);

  const_array_view const convolved(at.convolved, size);
  array_view(grad.convolved, size) =
      const_array_view(grad.x, size) * sigmoid(convolved) * (1 + convolved * (1 - sigmoid(convolved)));
  std::fill_n(grad.in, size, 0.0F);
  for (int row = 0; row < rows; ++row) {
    float const* const grad_row = grad.convolved + product(row, inner_);
    convolution_.backward_parameters(target, at.in + product(row, inner_), row % shape.time, grad_row);
    convolution_.backward_input(target.values, grad_row, shape.time - 1 - row % shape.time,
                                grad.in + product(row, inner_));
  }
  in_.backward(target, u, rows, grad.in, grad_u);
  gate_.backward(target, u, rows, grad.gate, grad.x);  // grad.x is free by now, and wider than u
  array_view(grad_u, rows * width_) += const_array_view(grad.x, rows * width_);
}

std::unique_ptr<mixer_state> selective_mixer::make_state(int batch) const {
  return std::make_unique<selective_state>(batch, convolution_);
}

void selective_mixer::step(std::span<float const> values, int batch, float const* u, float* out,
                           mixer_state& state) const {
  auto& previous = dynamic_cast<selective_state&>(state);
  buffer saved(saved_size({batch, 1}));
  activations const at = split(batch, saved.data());
  in_.forward(values, u, batch, at.in);
  gate_.forward(values, u, batch, at.gate);
  for (int b = 0; b < batch; ++b) {
    convolution_.forward(values, previous.recent.advance(b, at.in + product(b, inner_)), taps - 1,
                         at.convolved + product(b, inner_));
  }
  project(values, batch, at);
  for (int b = 0; b < batch; ++b) {
    float* const memory = previous.values.data() + product(b, inner_ * kState);
    scan(values, at, b, memory, memory, at.states);
  }
  finish(values, batch, at, out);
}

}  // namespace example
