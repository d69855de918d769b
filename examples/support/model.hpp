// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The model of the examples: embedding, pre-norm residual blocks (short convolutions and attentions or their rivals), a
// final norm, logits through the transposed embedding. Without a position embedding, which is optional, order comes
// from the convolutions and the causal mask. Holds parameters; activations are in a workspace, one per thread at work,
// and the past of a text is in a decoder_state.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "attention_kernel.hpp"
#include "buffer.hpp"
#include "layers.hpp"
#include "mixer.hpp"

namespace example {

struct model_settings {
  std::string kernel = "rebased";  // one of mixer_names()
  /// One letter a block: 'c' a convolution mixer, 'a' the mixer that `kernel` names.
  std::string blocks = "caca";
  int vocabulary = 256;
  int positions = 0;  // the longest sequence, if each position has a learned vector
  int width = 128;
  int heads = 4;
  int value_dim = 32;
  int taps = 3;
  double eps = 1e-6;        // of the attention's normalizer
  float deviation = 0.02F;  // of the start values of the mixers' matrices; or kByWidth
  /// Of softmax attention's queries and keys; linattn's maps are instantiated for attention_shape::head_dim alone.
  int softmax_key_dim = attention_shape::head_dim;
  bool form_by_length = false;  // attention_shape's
  unsigned seed = 1;
  /// Another maker, and the attentions run on another device.
  std::unique_ptr<attention_kernel> (*make_kernel)(std::string_view, attention_shape) = make_attention_kernel;
};

/// Activations of one forward, kept for its backward; reused from step to step, so that nothing is allocated in the
/// loop.
struct workspace {
  std::vector<buffer> residual;    // the input of each block, and of the final norm
  std::vector<buffer> normal;      // each LayerNorm's output
  std::vector<buffer> statistics;  // each LayerNorm's mean and 1 / deviation
  std::vector<buffer> saved;       // each mixer's own
  std::vector<int> targets;        // those that are not negative, and their rows
  std::vector<int> target_rows;
  buffer picked, grad_picked;  // these rows' part of the last residual, and its gradient
  buffer logits, grad_residual, grad_normal, scratch;
};

/// What the model remembers of the text so far. With linear attention its size does not grow with the text.
struct decoder_state {
  std::size_t bytes() const;

  std::vector<std::unique_ptr<mixer_state>> mixers;
  int position = 0;
};

/// What model_settings::kernel can be: an attention kernel's name (which make_kernel must know), "mamba" or "rwkv".
std::vector<std::string_view> mixer_names();

class model {
 public:
  explicit model(model_settings settings);

  parameter_set& parameters() { return parameters_; }
  parameter_set const& parameters() const { return parameters_; }
  model_settings const& settings() const { return settings_; }

  /// Logits of every position, (batch, time, vocabulary), in the workspace. With `final_state` this is a prefill.
  float* forward(sequence_shape shape, std::span<int const> tokens, workspace& work,
                 decoder_state* final_state = nullptr) const;

  /// Logits of the positions whose target is not negative, and of these alone, in their order; work.targets has theirs.
  float* forward_targets(sequence_shape shape, std::span<int const> tokens, std::span<int const> targets,
                         workspace& work) const;

  /// The summed cross-entropy of the targets that are not negative; adds the gradient of `scale` times it.
  double loss_and_gradient(sequence_shape shape, std::span<int const> tokens, std::span<int const> targets, float scale,
                           workspace& work, std::span<float> gradients) const;

  decoder_state make_state(int batch) const;
  /// One token of each sequence in, the logits of the next out.
  float* step(std::span<int const> tokens, decoder_state& state, workspace& work) const;

 private:
  struct block {
    layer_norm norm;
    std::unique_ptr<mixer> mix;
  };
  std::unique_ptr<mixer> make_mixer(char kind);
  void prepare(sequence_shape shape, workspace& work) const;
  void forward_blocks(sequence_shape shape, std::span<int const> tokens, workspace& work,
                      decoder_state* final_state) const;
  void add_positions(int rows, int time, int first, float* residual) const;
  float* logits_of(float const* residual, int rows, workspace& work) const;

  model_settings settings_;
  parameter_set parameters_;
  embedding embedding_;
  parameter positions_;  // (positions, width)
  std::vector<block> blocks_;
  layer_norm final_norm_;
};

}  // namespace example
