// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// attention_mixer.hpp: the order of the calls, forward and backward.
#include "attention_mixer.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace example {

attention_mixer::attention_mixer(parameter_set& parameters, std::unique_ptr<attention_kernel> kernel, int width,
                                 attention_shape shape, float deviation)
    : shape_(shape),
      kernel_(std::move(kernel)),
      projection_(parameters, width, shape.fused_width(), deviation, /*with_bias=*/false),
      back_(parameters, shape.out_width(), width, deviation, /*with_bias=*/false) {
  std::vector<float> const start = kernel_->initial_parameters();
  map_parameters_ = parameters.add_constant(start.size(), 0);
  std::copy(start.begin(), start.end(), map_parameters_.of(parameters.values()));
}

attention_mixer::saved_arrays attention_mixer::split(sequence_shape shape, float* saved) const {
  float* const attended = saved + shape.rows() * shape_.fused_width();
  return {saved, attended, attended + shape.rows() * shape_.out_width()};
}

std::size_t attention_mixer::saved_size(sequence_shape shape) const {
  return static_cast<std::size_t>(shape.rows() * (shape_.fused_width() + shape_.out_width() + shape_.heads));
}

std::size_t attention_mixer::scratch_size(sequence_shape shape) const {
  return static_cast<std::size_t>(shape.rows() * (shape_.fused_width() + shape_.out_width()));
}

void attention_mixer::forward(std::span<float const> values, sequence_shape shape, float const* u, float* out,
                              float* saved, mixer_state* final_state) const {
  saved_arrays const arrays = split(shape, saved);
  projection_.forward(values, u, shape.rows(), arrays.qkv);
  kernel_->forward(map_parameters_.of(values), shape, arrays.qkv, arrays.attended, arrays.denominator, final_state);
  back_.forward_add(values, arrays.attended, shape.rows(), out);
}

void attention_mixer::backward(gradient_target target, sequence_shape shape, float const* u, float* saved,
                               float const* grad_out, float* grad_u, float* scratch) const {
  saved_arrays const arrays = split(shape, saved);
  float* const grad_qkv = scratch;
  float* const grad_attended = scratch + shape.rows() * shape_.fused_width();
  back_.backward(target, arrays.attended, shape.rows(), grad_out, grad_attended);
  kernel_->backward(map_parameters_.of(target.values), map_parameters_.of(target.gradients), shape, arrays.qkv,
                    arrays.attended, arrays.denominator, grad_attended, grad_qkv);
  projection_.backward(target, u, shape.rows(), grad_qkv, grad_u);
}

std::unique_ptr<mixer_state> attention_mixer::make_state(int batch) const { return kernel_->make_state(batch); }

void attention_mixer::step(std::span<float const> values, int batch, float const* u, float* out,
                           mixer_state& state) const {
  buffer qkv(static_cast<std::size_t>(batch * shape_.fused_width()));
  buffer attended(static_cast<std::size_t>(batch * shape_.out_width()));
  projection_.forward(values, u, batch, qkv.data());
  kernel_->step(map_parameters_.of(values), batch, qkv.data(), attended.data(), state);
  back_.forward_add(values, attended.data(), batch, out);
}

}  // namespace example
