// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// AdamW (Loshchilov & Hutter, arXiv:1711.05101) over the flat parameter array. It does not know layers: weight decay
// goes by the parameter set's mask.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include "buffer.hpp"

namespace example {

struct adamw_settings {
  float beta1 = 0.9F;
  float beta2 = 0.98F;
  float epsilon = 1e-8F;
  float weight_decay = 0.1F;
};

class adamw {
 public:
  adamw(std::size_t size, adamw_settings settings) : settings_(settings), mean_(size, 0.0F), square_(size, 0.0F) {}

  /// Call once a step, before the updates of its ranges.
  void begin_step() {
    mean_correction_ *= settings_.beta1;
    square_correction_ *= settings_.beta2;
  }

  /// Updates values [first, last) from gradients times `gradient_scale`. Ranges may run on different threads.
  void update(std::span<float> values, std::span<float const> gradients, std::span<float const> decay_mask, float rate,
              float gradient_scale, std::size_t first, std::size_t last) {
    auto const mean_scale = static_cast<float>(1 / (1 - mean_correction_));
    auto const square_scale = static_cast<float>(1 / (1 - square_correction_));
    float const decay = rate * settings_.weight_decay;
    float* __restrict const value = values.data();
    float* __restrict const mean = mean_.data();
    float* __restrict const square = square_.data();
    for (std::size_t i = first; i < last; ++i) {
      float const gradient = gradients[i] * gradient_scale;
      mean[i] += (1 - settings_.beta1) * (gradient - mean[i]);
      square[i] += (1 - settings_.beta2) * (gradient * gradient - square[i]);
      float const step = mean[i] * mean_scale / (std::sqrt(square[i] * square_scale) + settings_.epsilon);
      value[i] -= rate * step + decay * decay_mask[i] * value[i];
    }
  }

 private:
  adamw_settings settings_;
  buffer mean_, square_;
  double mean_correction_ = 1, square_correction_ = 1;  // beta^step
};

/// Linear warm-up over the first `warm_up` of the run, then a half cosine to 0; `progress` is 0..1.
inline float warm_up_cosine(double progress, double warm_up) {
  if (progress < warm_up) {
    return static_cast<float>(progress / warm_up);
  }
  double const rest = (progress - warm_up) / (1 - warm_up);
  return rest < 1 ? static_cast<float>(0.5 + 0.5 * std::cos(3.14159265358979 * rest)) : 0.0F;
}

}  // namespace example
