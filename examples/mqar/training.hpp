// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Training a step at a time: the examples in their order, and the optimizer. When to stop and what to test is not known
// here.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "experiment.hpp"
#include "support/gradient_sum.hpp"

namespace example {

/// The run's task, on the data set of this seed.
mqar_task make_task(run_settings const& run, std::uint64_t data_seed);

/// Deals the examples of the training set without replacement, each pass in another order.
class example_dealer {
 public:
  explicit example_dealer(run_settings const& run);

  void deal(std::span<int> tokens, std::span<int> targets);

 private:
  mqar_task task_;
  std::mt19937 random_;
  std::vector<std::uint64_t> order_;
  std::size_t next_ = 0;
};

/// AdamW (weight decay 0.1, cosine to 0, no warm-up, no clipping).
class trainer {
 public:
  trainer(model& net, run_settings const& run, worker_pool& pool);

  /// One step; returns the mean loss of its batch, which is that before the step.
  double step();

 private:
  model& net_;
  run_settings run_;
  example_dealer dealer_;
  gradient_sum gradient_;
  adamw optimizer_;
  int steps_ = 0;
};

}  // namespace example
