// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The short-convolution mixer of the ReBased paper's models: conv(u) * (W u + b) + u, where conv is a causal depthwise
// convolution with bias. It is no attention; it gives the attention above it the neighbourhood of each token.
#pragma once

#include "layers.hpp"
#include "mixer.hpp"
#include "short_convolution.hpp"

namespace example {

class convolution_mixer final : public mixer {
 public:
  convolution_mixer(parameter_set& parameters, int width, int taps, float deviation);

  std::size_t saved_size(sequence_shape shape) const override;
  std::size_t scratch_size(sequence_shape shape) const override;
  void forward(std::span<float const> values, sequence_shape shape, float const* u, float* out, float* saved,
               mixer_state* final_state) const override;
  void backward(gradient_target target, sequence_shape shape, float const* u, float* saved, float const* grad_out,
                float* grad_u, float* scratch) const override;
  std::unique_ptr<mixer_state> make_state(int batch) const override;
  void step(std::span<float const> values, int batch, float const* u, float* out, mixer_state& state) const override;

 private:
  int width_;
  linear gate_;
  short_convolution convolution_;
};

}  // namespace example
