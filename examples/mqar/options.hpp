// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command line of mqar: which runs are wanted. Presets are starting points that further options change.
#pragma once

#include <string>
#include <vector>

#include "experiment.hpp"
#include "support/command_line.hpp"

namespace example {

inline constexpr int kMany = 1000000000;

struct options {
  std::vector<std::string> mixers{"rebased"};
  std::vector<int> times{64};
  std::vector<int> widths{64};
  std::vector<float> rates{3e-3F};
  int pairs = 8;  // 0: the paper's, which depends on T
  int vocabulary = 256;
  int heads = 4;
  int softmax_heads = 0;  // 0: as many as the others
  int seeds = 1;
  std::string blocks = "ca";
  std::string rival_blocks;  // of mamba and rwkv; empty: blocks
  float deviation = kByWidth;
  int batch = 64;
  int steps = 20000;
  int stop_after = 800;
  int examples = 20000;
  int test_examples = 1000;
  int evaluate_every = 40;
  int threads = 2;
  std::string out = "mqar";
  int benchmark = 0;  // steps, if that is all that is wanted
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
