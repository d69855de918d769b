// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// time_mixer.hpp: products over all rows, the averages a row at a time with the channels in vector lanes. All sums are
// kept over exp(exponent), the largest term so far, so that no exp overflows; the results do not depend on it, and
// backward takes it as a constant.
#include "time_mixer.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace example {
namespace {

constexpr float kNoTerm = -1e30F;  // as an exponent: exp gives 0
constexpr int kKey = 0, kValue = 1, kReceptance = 2;

using array_view = Eigen::Map<Eigen::ArrayXf>;
using const_array_view = Eigen::Map<Eigen::ArrayXf const>;

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

/// Of each sequence: the last token, then the averages.
struct time_state final : mixer_state {
  time_state(int batch, int width) : row_size(product(4, width)), rows(static_cast<std::size_t>(batch) * row_size) {
    for (std::size_t b = 0; b < static_cast<std::size_t>(batch); ++b) {
      std::fill_n(of(b) + product(3, width), width, kNoTerm);
    }
  }
  float* of(std::size_t sequence) { return rows.data() + sequence * row_size; }
  std::size_t bytes() const override { return rows.size() * sizeof(float); }

  std::size_t row_size;
  buffer rows;
};

}  // namespace

time_mixer::branch::branch(parameter_set& parameters, int width, float deviation, float exponent, float shift)
    : share(parameters.add_constant(static_cast<std::size_t>(width), 0)),
      projection(parameters, width, width, deviation, /*with_bias=*/false) {
  for (int c = 0; c < width; ++c) {
    share.of(parameters.values())[c] = std::pow(static_cast<float>(c) / static_cast<float>(width), exponent) + shift;
  }
}

// Start values are RWKV-4's for the second of two layers.
time_mixer::time_mixer(parameter_set& parameters, int width, float deviation)
    : width_(width),
      branches_{branch(parameters, width, deviation, 0.5F, 0), branch(parameters, width, deviation, 0.5F, 0.3F),
                branch(parameters, width, deviation, 0.25F, 0)},
      log_decay_(parameters.add_constant(static_cast<std::size_t>(width), 0)),
      bonus_(parameters.add_constant(static_cast<std::size_t>(width), 0)),
      out_(parameters, width, width, deviation, /*with_bias=*/false),
      nothing_(product(3, width), 0.0F) {
  std::fill_n(nothing_.begin() + 2 * width, width, kNoTerm);
  for (int c = 0; c < width; ++c) {
    float const place = static_cast<float>(c) / static_cast<float>(std::max(1, width - 1));
    log_decay_.of(parameters.values())[c] = -5 + 8 * place * place;
    bonus_.of(parameters.values())[c] = std::log(0.3F) + 0.5F * static_cast<float>((c + 1) % 3 - 1);
  }
}

time_mixer::activations time_mixer::split(int rows, float* saved) const {
  auto const array = [&](int index) { return saved + static_cast<std::size_t>(index) * product(rows, width_); };
  return {{array(0), array(1), array(2)},
          {array(3), array(4), array(5)},
          array(6),
          array(7),
          array(8),
          array(9),
          array(10)};
}

std::size_t time_mixer::saved_size(sequence_shape shape) const { return product(kArrays * shape.rows(), width_); }

std::size_t time_mixer::scratch_size(sequence_shape shape) const {
  return product(8 * shape.rows(), width_) +
         product(3, width_);  // gradients up to `gated`, and of one token's averages
}

time_mixer::averages time_mixer::before(sequence_shape shape, activations const& at, int row) const {
  if (row % shape.time == 0) {
    return {nothing_.data(), nothing_.data() + width_, nothing_.data() + 2 * width_};
  }
  std::size_t const first = product(row - 1, width_);
  return {at.sum + first, at.weight + first, at.exponent + first};
}

/// What the three projections take of token number `index`; `earlier` is the token before it, or null.
void time_mixer::blend(std::span<float const> values, float const* row, float const* earlier, activations const& at,
                       int index) const {
  const_array_view const token(row, width_);
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    const_array_view const share(branches_[i].share.of(values), width_);
    array_view blended(at.blended[i] + product(index, width_), width_);
    blended = share * token;
    if (earlier != nullptr) {
      blended += (1 - share) * const_array_view(earlier, width_);
    }
  }
}

void time_mixer::project(std::span<float const> values, int rows, activations const& at) const {
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    branches_[i].projection.forward(values, at.blended[i], rows, at.projected[i]);
  }
  array_view receptance(at.projected[kReceptance], rows * width_);
  receptance = (1 + (-receptance).exp()).inverse();
}

/// One token: the averages before it -> those after it, and its mean, in which its own weight is exp(bonus + k).
void time_mixer::average(std::span<float const> values, activations const& at, int row, averages const& past) const {
  std::size_t const first = product(row, width_);
  const_array_view const key(at.projected[kKey] + first, width_);
  const_array_view const value(at.projected[kValue] + first, width_);
  const_array_view const sum(past.sum, width_);
  const_array_view const weight(past.weight, width_);
  const_array_view const exponent(past.exponent, width_);
  Eigen::ArrayXf const own = const_array_view(bonus_.of(values), width_) + key;
  Eigen::ArrayXf largest = own.max(exponent);
  Eigen::ArrayXf old_part = (exponent - largest).exp();
  Eigen::ArrayXf new_part = (own - largest).exp();
  array_view(at.mean + first, width_) = (old_part * sum + new_part * value) / (old_part * weight + new_part);

  Eigen::ArrayXf const decayed = exponent - const_array_view(log_decay_.of(values), width_).exp();
  largest = decayed.max(key);
  old_part = (decayed - largest).exp();
  new_part = (key - largest).exp();
  array_view(at.sum + first, width_) = old_part * sum + new_part * value;
  array_view(at.weight + first, width_) = old_part * weight + new_part;
  array_view(at.exponent + first, width_) = largest;
}

void time_mixer::forward(std::span<float const> values, sequence_shape shape, float const* u, float* out, float* saved,
                         mixer_state* final_state) const {
  int const rows = shape.rows();
  activations const at = split(rows, saved);
  for (int row = 0; row < rows; ++row) {
    float const* const token = u + product(row, width_);
    blend(values, token, row % shape.time == 0 ? nullptr : token - width_, at, row);
  }
  project(values, rows, at);
  for (int row = 0; row < rows; ++row) {
    average(values, at, row, before(shape, at, row));
  }
  array_view(at.gated, rows * width_) =
      const_array_view(at.mean, rows * width_) * const_array_view(at.projected[kReceptance], rows * width_);
  out_.forward_add(values, at.gated, rows, out);
  if (final_state != nullptr) {
    auto& state = dynamic_cast<time_state&>(*final_state);
    for (int b = 0; b < shape.batch; ++b) {
      std::size_t const last = product((b + 1) * shape.time - 1, width_);
      float* to = state.of(static_cast<std::size_t>(b));
      for (float const* const from : std::array<float const*, 4>{u, at.sum, at.weight, at.exponent}) {
        to = std::copy_n(from + last, width_, to);
      }
    }
  }
}

/// From the gradient of the means to those of keys, values, decay and bonus. `past`: scratch of 3 rows.
void time_mixer::average_backward(gradient_target target, sequence_shape shape, activations const& at,
                                  activations const& grad, float* past) const {
  array_view grad_sum(past, width_);
  array_view grad_weight(past + width_, width_);
  array_view grad_decay(past + 2 * width_, width_);  // of -exp(log_decay)
  array_view grad_bonus(bonus_.of(target.gradients), width_);
  Eigen::ArrayXf const decay = const_array_view(log_decay_.of(target.values), width_).exp();
  grad_decay = 0;
  for (int row = shape.rows(); row-- > 0;) {
    if (row % shape.time == shape.time - 1) {
      grad_sum = 0;
      grad_weight = 0;
    }
    std::size_t const first = product(row, width_);
    averages const earlier = before(shape, at, row);
    const_array_view const key(at.projected[kKey] + first, width_);
    const_array_view const value(at.projected[kValue] + first, width_);
    const_array_view const sum(earlier.sum, width_);
    const_array_view const weight(earlier.weight, width_);
    const_array_view const exponent(earlier.exponent, width_);
    array_view grad_key(grad.projected[kKey] + first, width_);
    array_view grad_value(grad.projected[kValue] + first, width_);
    // Through the averages after the token, of which grad_sum and grad_weight are the gradients.
    const_array_view const largest(at.exponent + first, width_);
    Eigen::ArrayXf old_part = (exponent - decay - largest).exp();
    Eigen::ArrayXf new_part = (key - largest).exp();
    grad_key = new_part * (grad_sum * value + grad_weight);
    grad_value = new_part * grad_sum;
    grad_decay += old_part * (grad_sum * sum + grad_weight * weight);
    grad_sum *= old_part;
    grad_weight *= old_part;
    // Through the token's mean.
    Eigen::ArrayXf const own = const_array_view(bonus_.of(target.values), width_) + key;
    Eigen::ArrayXf const own_largest = own.max(exponent);
    old_part = (exponent - own_largest).exp();
    new_part = (own - own_largest).exp();
    Eigen::ArrayXf const grad_above =
        const_array_view(grad.mean + first, width_) / (old_part * weight + new_part);  // of the numerator
    Eigen::ArrayXf const grad_below = -grad_above * const_array_view(at.mean + first, width_);
    Eigen::ArrayXf const grad_own = new_part * (grad_above * value + grad_below);
    grad_key += grad_own;
    grad_bonus += grad_own;
    grad_value += new_part * grad_above;
    grad_sum += old_part * grad_above;
    grad_weight += old_part * grad_below;
  }
  array_view(log_decay_.of(target.gradients), width_) -= grad_decay * decay;
}

void time_mixer::backward(gradient_target target, sequence_shape shape, float const* u, float* saved,
                          float const* grad_out, float* grad_u, float* scratch) const {
  int const rows = shape.rows();
  int const size = rows * width_;
  activations const at = split(rows, saved);
  activations const grad = split(rows, scratch);  // up to `gated`; then what average_backward takes
  out_.backward(target, at.gated, rows, grad_out, grad.gated);
  const_array_view const grad_gated(grad.gated, size);
  const_array_view const receptance(at.projected[kReceptance], size);
  array_view(grad.mean, size) = grad_gated * receptance;
  array_view(grad.projected[kReceptance], size) =
      grad_gated * const_array_view(at.mean, size) * receptance * (1 - receptance);
  average_backward(target, shape, at, grad, grad.sum);

  std::fill_n(grad_u, size, 0.0F);
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    branches_[i].projection.backward(target, at.blended[i], rows, grad.projected[i], grad.blended[i]);
    const_array_view const share(branches_[i].share.of(target.values), width_);
    array_view grad_share(branches_[i].share.of(target.gradients), width_);
    for (int row = 0; row < rows; ++row) {
      std::size_t const first = product(row, width_);
      const_array_view const grad_row(grad.blended[i] + first, width_);
      array_view(grad_u + first, width_) += share * grad_row;
      grad_share += grad_row * const_array_view(u + first, width_);
      if (row % shape.time != 0) {
        array_view(grad_u + first - width_, width_) += (1 - share) * grad_row;
        grad_share -= grad_row * const_array_view(u + first - width_, width_);
      }
    }
  }
}

std::unique_ptr<mixer_state> time_mixer::make_state(int batch) const {
  return std::make_unique<time_state>(batch, width_);
}

void time_mixer::step(std::span<float const> values, int batch, float const* u, float* out, mixer_state& state) const {
  auto& previous = dynamic_cast<time_state&>(state);
  buffer saved(saved_size({batch, 1}));
  activations const at = split(batch, saved.data());
  for (int b = 0; b < batch; ++b) {
    float* const memory = previous.of(static_cast<std::size_t>(b));
    float const* const token = u + product(b, width_);
    blend(values, token, memory, at, b);
    std::copy_n(token, width_, memory);
  }
  project(values, batch, at);
  for (int b = 0; b < batch; ++b) {
    float* memory = previous.of(static_cast<std::size_t>(b)) + width_;
    average(values, at, b, {memory, memory + width_, memory + 2 * width_});
    for (float const* const from : {at.sum, at.weight, at.exponent}) {
      memory = std::copy_n(from + product(b, width_), width_, memory);
    }
  }
  array_view(at.gated, batch * width_) =
      const_array_view(at.mean, batch * width_) * const_array_view(at.projected[kReceptance], batch * width_);
  out_.forward_add(values, at.gated, batch, out);
}

}  // namespace example
