// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A selective state-space mixer, Mamba's block (Gu & Dao, arXiv:2312.00752): a gated, convolved branch through a linear
// recurrence whose step size, input and output depend on the token. Plain CPU code and not linattn's: a rival to
// compare with. The scan is sequential and its states are kept for backward.
#pragma once

#include "layers.hpp"
#include "mixer.hpp"
#include "short_convolution.hpp"

namespace example {

class selective_mixer final : public mixer {
 public:
  static constexpr int expand = 2;       // channels of the recurrence for each of the input
  static constexpr int state_size = 16;  // numbers that each of them remembers
  static constexpr int taps = 4;

  selective_mixer(parameter_set& parameters, int width, float deviation);

  std::size_t saved_size(sequence_shape shape) const override;
  std::size_t scratch_size(sequence_shape shape) const override;
  void forward(std::span<float const> values, sequence_shape shape, float const* u, float* out, float* saved,
               mixer_state* final_state) const override;
  void backward(gradient_target target, sequence_shape shape, float const* u, float* saved, float const* grad_out,
                float* grad_u, float* scratch) const override;
  std::unique_ptr<mixer_state> make_state(int batch) const override;
  void step(std::span<float const> values, int batch, float const* u, float* out, mixer_state& state) const override;

 private:
  /// Rows of activations, one a token.
  struct activations {
    float *in, *gate;      // the two branches
    float *convolved, *x;  // before and after SiLU
    float *low, *step;     // what the step size comes from, and the step size, after softplus
    float* in_out;         // B, then C: how the token writes to the state and reads from it
    float *y, *gated;      // the recurrence's result, before and after the gate
    float* states;         // after the token: (inner, state_size)
  };
  activations split(int rows, float* saved) const;
  void project(std::span<float const> values, int rows, activations const& at) const;
  void scan(std::span<float const> values, activations const& at, int row, float const* before, float* after,
            float* factors) const;
  void finish(std::span<float const> values, int rows, activations const& at, float* out) const;
  void scan_backward(gradient_target target, sequence_shape shape, activations const& at, activations const& grad,
                     float* scratch) const;

  int width_, inner_, rank_;
  linear in_, gate_;
  short_convolution convolution_;
  linear low_, in_out_, step_;
  parameter log_decay_;  // (inner, state_size): the recurrence's rates are -exp of it
  parameter skip_;       // (inner)
  linear out_;
};

}  // namespace example
