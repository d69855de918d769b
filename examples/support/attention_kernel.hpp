// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One layer's attention behind a virtual call: which map it is, is then a run-time choice, and each map's templates are
// instantiated in one translation unit (attention_kernel_*.cpp). The interface that a program with one map does not
// need. One kernel is no linear attention: softmax, to compare with.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mixer.hpp"

namespace example {

struct attention_shape {
  int heads;
  int value_dim;
  /// Added to the sum of the weights before the division by it.
  double eps = 1e-6;
  /// The examples instantiate linattn's maps for one head_dim, that of the papers.
  static constexpr int head_dim = 16;
  /// Of queries and keys: head_dim, but for softmax attention.
  int key_dim = head_dim;
  /// Whether linattn chooses the form, parallel or chunkwise, by the sequence's length; else chunkwise.
  bool form_by_length = false;

  int out_width() const { return heads * value_dim; }
  /// A row of the fused projection: all heads' q, then all k, then all v.
  int fused_width() const { return heads * (2 * key_dim + value_dim); }
};

class attention_kernel {
 public:
  virtual ~attention_kernel() = default;

  /// Start values of the map's own parameters (rebased: gamma_q, beta_q, gamma_k, beta_k, each (heads, head_dim)); or
  /// none.
  virtual std::vector<float> initial_parameters() const = 0;

  /// qkv (rows, fused_width) -> out (rows, out_width), denominator (batch, heads, time).
  virtual void forward(float const* map_parameters, sequence_shape shape, float const* qkv, float* out,
                       float* denominator, mixer_state* final_state) const = 0;
  /// Overwrites grad_qkv, adds the gradients of the map's parameters.
  virtual void backward(float const* map_parameters, float* grad_map_parameters, sequence_shape shape, float const* qkv,
                        float const* out, float const* denominator, float const* grad_out, float* grad_qkv) const = 0;
  virtual std::unique_ptr<mixer_state> make_state(int batch) const = 0;
  /// One token of each sequence. Recurrent form.
  virtual void step(float const* map_parameters, int batch, float const* qkv, float* out, mixer_state& state) const = 0;
};

/// The names that make_attention_kernel accepts.
std::span<std::string_view const> attention_kernel_names();
/// nullptr for an unknown name.
std::unique_ptr<attention_kernel> make_attention_kernel(std::string_view name, attention_shape shape);

}  // namespace example
