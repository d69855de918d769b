// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Linear attention as a mixer: one fused projection to q, k, v, the attention kernel, a projection back. The kernel is
// any of attention_kernel.hpp's.
#pragma once

#include <memory>

#include "attention_kernel.hpp"
#include "layers.hpp"
#include "mixer.hpp"

namespace example {

class attention_mixer final : public mixer {
 public:
  attention_mixer(parameter_set& parameters, std::unique_ptr<attention_kernel> kernel, int width, attention_shape shape,
                  float deviation);

  std::size_t saved_size(sequence_shape shape) const override;
  std::size_t scratch_size(sequence_shape shape) const override;
  void forward(std::span<float const> values, sequence_shape shape, float const* u, float* out, float* saved,
               mixer_state* final_state) const override;
  void backward(gradient_target target, sequence_shape shape, float const* u, float* saved, float const* grad_out,
                float* grad_u, float* scratch) const override;
  std::unique_ptr<mixer_state> make_state(int batch) const override;
  void step(std::span<float const> values, int batch, float const* u, float* out, mixer_state& state) const override;

 private:
  struct saved_arrays {
    float *qkv, *attended, *denominator;
  };
  saved_arrays split(sequence_shape shape, float* saved) const;

  attention_shape shape_;
  std::unique_ptr<attention_kernel> kernel_;
  linear projection_, back_;
  parameter map_parameters_;
};

}  // namespace example
