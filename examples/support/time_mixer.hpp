// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RWKV-4's time mixing (Peng et al., arXiv:2305.13048): each token blended with the one before, then per channel a
// weighted mean of all values so far, whose weights exp(k) decay at a learned rate. Plain CPU code and not linattn's: a
// rival to compare with.
#pragma once

#include <array>

#include "layers.hpp"
#include "mixer.hpp"

namespace example {

class time_mixer final : public mixer {
 public:
  time_mixer(parameter_set& parameters, int width, float deviation);

  std::size_t saved_size(sequence_shape shape) const override;
  std::size_t scratch_size(sequence_shape shape) const override;
  void forward(std::span<float const> values, sequence_shape shape, float const* u, float* out, float* saved,
               mixer_state* final_state) const override;
  void backward(gradient_target target, sequence_shape shape, float const* u, float* saved, float const* grad_out,
                float* grad_u, float* scratch) const override;
  std::unique_ptr<mixer_state> make_state(int batch) const override;
  void step(std::span<float const> values, int batch, float const* u, float* out, mixer_state& state) const override;

 private:
  /// One of key, value and receptance: its blend of a token with the one before, and its projection.
  struct branch {
    branch(parameter_set& parameters, int width, float deviation, float exponent, float shift);
    parameter share;  // (width), of the token itself
    linear projection;
  };
  /// Of a token, per channel: the sums of exp(k) v and of exp(k) so far, both over exp(exponent).
  struct averages {
    float const *sum, *weight, *exponent;
  };
  /// Rows of activations, one a token.
  struct activations {
    std::array<float*, 3> blended, projected;  // of key, value and receptance; the last after its sigmoid
    float *mean, *gated;
    float *sum, *weight, *exponent;  // the averages after the token
  };
  static constexpr int kArrays = 11;  // of activations
  activations split(int rows, float* saved) const;
  averages before(sequence_shape shape, activations const& at, int row) const;
  void blend(std::span<float const> values, float const* row, float const* earlier, activations const& at,
             int index) const;
  void project(std::span<float const> values, int rows, activations const& at) const;
  void average(std::span<float const> values, activations const& at, int row, averages const& past) const;
  void average_backward(gradient_target target, sequence_shape shape, activations const& at, activations const& grad,
                        float* past) const;

  int width_;
  std::array<branch, 3> branches_;
  parameter log_decay_;  // (width): weights shrink by exp(-exp(.)) a token
  parameter bonus_;      // (width): added to the key of the token itself
  linear out_;
  buffer nothing_;  // the averages before the first token
};

}  // namespace example
