// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradient of a batch on several threads: the batch is cut into a fixed number of shards, each with a gradient of
// its own, which are summed in their order. The result depends on the batch alone, never on the threads. Deals no data
// and knows no learning rate.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "adamw.hpp"
#include "model.hpp"
#include "worker_pool.hpp"

namespace example {

/// The tokens and targets of `windows` sequences, one after the other.
struct token_batch {
  token_batch(int windows, int time)
      : shape{windows, time},
        tokens(static_cast<std::size_t>(shape.rows())),
        targets(static_cast<std::size_t>(shape.rows())) {}

  std::span<int> tokens_of(int window) { return std::span(tokens).subspan(begin(window), length()); }
  std::span<int> targets_of(int window) { return std::span(targets).subspan(begin(window), length()); }

  sequence_shape shape;
  std::vector<int> tokens, targets;

 private:
  std::size_t length() const { return static_cast<std::size_t>(shape.time); }
  std::size_t begin(int window) const { return static_cast<std::size_t>(window) * length(); }
};

class gradient_sum {
 public:
  /// Called for each window of the batch, in order, on the caller's thread.
  using window_writer = std::function<void(std::span<int> tokens, std::span<int> targets)>;

  gradient_sum(model const& net, int batch, int time, worker_pool& pool);

  /// Writes a batch and differentiates its mean loss over the targets that are not negative; returns that loss.
  double compute(window_writer const& write);
  /// The Euclidean norm of the last gradient.
  double norm() const;
  /// One step of the optimizer with the last gradient times `scale`.
  void apply(adamw& optimizer, parameter_set& parameters, float rate, float scale);

 private:
  /// A part of the batch, cut once more into pieces whose activations stay near the core.
  struct shard {
    std::vector<token_batch> pieces;
    workspace work;
    buffer gradients;
    double loss = 0;
  };
  std::size_t begin_of(int range) const;
  void add_range(int range);

  model const& net_;
  worker_pool& pool_;
  std::vector<shard> shards_;
  buffer total_;
  std::vector<double> partial_squares_;
};

}  // namespace example
