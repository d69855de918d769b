// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a sequence mixer is: the part of a residual block that moves information along time. The short convolution
// (convolution_mixer.hpp), attention (attention_mixer.hpp), and two rivals (selective_mixer.hpp, time_mixer.hpp). Not
// an autograd node: the caller keeps the activations.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "parameters.hpp"

namespace example {

/// Activations are (batch, time, width), contiguous; a row is one token.
struct sequence_shape {
  int batch = 1;
  int time = 1;

  int rows() const { return batch * time; }
};

/// What a mixer remembers of the tokens before: the last rows of a convolution, the state of an attention.
class mixer_state {
 public:
  virtual ~mixer_state() = default;
  /// Of the numbers that are remembered.
  virtual std::size_t bytes() const = 0;
};

class mixer {
 public:
  virtual ~mixer() = default;

  /// Floats that forward keeps for backward, and floats of scratch that backward needs besides.
  virtual std::size_t saved_size(sequence_shape shape) const = 0;
  virtual std::size_t scratch_size(sequence_shape shape) const = 0;

  /// out += mixer(u). With a `final_state` it also leaves there what the next tokens need (a prefill).
  virtual void forward(std::span<float const> values, sequence_shape shape, float const* u, float* out, float* saved,
                       mixer_state* final_state) const = 0;
  /// Overwrites grad_u; adds the gradients of the parameters. u and saved are as forward left them.
  virtual void backward(gradient_target target, sequence_shape shape, float const* u, float* saved,
                        float const* grad_out, float* grad_u, float* scratch) const = 0;

  /// Decoding: a zero state for `batch` sequences, and one token of each: out += mixer(u), the state moves on.
  virtual std::unique_ptr<mixer_state> make_state(int batch) const = 0;
  virtual void step(std::span<float const> values, int batch, float const* u, float* out, mixer_state& state) const = 0;
};

}  // namespace example
