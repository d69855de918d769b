// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A causal depthwise convolution with bias, a row at a time: mixers put it between their own operations. Holds slices
// of the parameters and no activations; not a mixer itself.
#pragma once

#include "layers.hpp"
#include "mixer.hpp"

namespace example {

/// conv(u)[t] = bias + sum_j filter[j] * u[t - j], over the taps j < `taps` that exist.
struct short_convolution {
  short_convolution(parameter_set& parameters, int row_width, int tap_count);

  /// `row` is u[t], in the memory of the rows before it; `before` of them exist.
  void forward(std::span<float const> values, float const* row, int before, float* sum) const;
  /// Adds the gradients of filter and bias, from the gradient of one row of the result.
  void backward_parameters(gradient_target target, float const* row, int before, float const* grad_sum) const;
  /// grad_row += the gradient of u[t], from those of the result at t (`grad_sum`) and at the `after` rows that follow.
  void backward_input(std::span<float const> values, float const* grad_sum, int after, float* grad_row) const;

  int width, taps;
  parameter filter;  // (taps, width); tap 0 is the token itself, tap j the one j before
  parameter bias;    // (width)
};

/// What a short convolution remembers of `batch` sequences: the last taps - 1 rows of each, oldest first; zero rows
/// before the start, as in the convolution.
class recent_rows {
 public:
  recent_rows(int batch, short_convolution const& convolution);

  /// After a prefill: the last rows of u (batch, time, width).
  void keep_last(sequence_shape shape, float const* u);
  /// `row` is the next of sequence `index`; it is at the end of the window that is returned, with all rows before it.
  float const* advance(int index, float const* row);
  std::size_t bytes() const { return rows_.size() * sizeof(float); }

 private:
  std::size_t width_, kept_;
  buffer rows_;
  buffer window_;
};

}  // namespace example
