// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Generation, and the proof that both forms are one model: the prompt is read in the chunkwise form, which leaves its
// state; each further byte takes one recurrent step from that state.
#pragma once

#include "options.hpp"
#include "support/model.hpp"
#include "text.hpp"

namespace example {

struct generation {
  std::string text;               // without the prompt
  double bytes_per_second = 0;    // of the steps
  double largest_difference = 0;  // of a logit, between the steps and one chunkwise forward over prompt and text
  double largest_logit = 0;       // in size, to judge that difference by
};

/// The prompt must have a byte that the text has.
generation generate(model const& net, text_corpus const& text, options const& settings);

}  // namespace example
