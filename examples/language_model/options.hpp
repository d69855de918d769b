// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command line: what it accepts and where it ends up. Not a general parser.
#pragma once

#include <string>

#include "support/command_line.hpp"
#include "support/model.hpp"

namespace example {

struct options {
  std::string file;
  model_settings model{.blocks = "ccccacccca", .width = 192, .heads = 3, .value_dim = 64, .taps = 4};
  double seconds = 140;  // of training; the schedule of the learning rate fits itself to it
  int steps = 0;         // if not 0: this many steps instead, the same whatever the machine's speed
  int time = 128;        // length of a training window
  int batch = 8;         // windows a step
  float rate = 1e-2F;    // peak learning rate
  int threads = 2;
  unsigned seed = 1;
  std::string prompt;  // empty: the start of a held-out line
  int generate = 400;
  float temperature = 0.7F;
  bool smoke = false;
  bool check_gradients = false;
  bool help = false;
};

/// Throws usage_error: what was wrong, and what is accepted.
options parse_options(int count, char const* const* arguments);
std::string usage();

}  // namespace example
