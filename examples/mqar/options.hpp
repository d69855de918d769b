// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command line of mqar: which runs are wanted. Presets are starting points that further options change.
#pragma once

#include <string>
#include <vector>

#include "experiment.hpp"
#include "support/command_line.hpp"

namespace example {

struct options {
  std::vector<std::string> mixers{"rebased"};
  std::vector<int> times{64};
  std::vector<int> widths{64};
  std::vector<float> rates{3e-3F};
  int pairs = 8;  // 0: the paper's, which depends on T
  int vocabulary = 256;
  int heads = 4;
  int seeds = 1;
  std::string blocks = "ca";
  int batch = 64;
  int steps = 2000;
  int stop_after = 1200;
  int examples = 20000;
  int test_examples = 1000;
  int evaluate_every = 80;
  int threads = 2;
  std::string out = "mqar";
  bool figure = false;
  bool report = false;
  bool help = false;
};

/// Throws usage_error: what was wrong, and what is accepted.
options parse_options(int count, char const* const* arguments);
std::string usage();

/// The run of one mixer at one size, with the first rate and seed.
run_settings run_of(options const& all, std::string const& mixer, int time, int width);

}  // namespace example
