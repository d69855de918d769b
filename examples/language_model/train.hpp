// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Training and evaluation: batches, threads, the schedule of the learning rate. The model knows none of these.
#pragma once

#include "options.hpp"
#include "support/model.hpp"
#include "text.hpp"

namespace example {

struct training_summary {
  long steps;
  double seconds;
  double tokens_per_second;
  double first_loss, last_loss;  // nats a byte, over the first few steps and over the last ones
};

/// Trains for options.seconds, or options.steps if they are given. With given steps the result depends on nothing but
/// the seed: the batch is cut into a fixed number of shards, each with its own gradient, and these are summed in their
/// order.
training_summary train(model& net, text_corpus const& text, options const& settings);

/// Bits a byte of the held-out text. It is read in overlapping windows; only the second half of each is counted, so
/// that every byte (but the first few) is predicted from at least half a window of context.
double held_out_bits(model const& net, text_corpus const& text, options const& settings);

}  // namespace example
