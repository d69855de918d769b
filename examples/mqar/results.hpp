// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The finished runs: a CSV file that grows by a line a run, and is read again when the command is resumed; the same as
// JSON; and what is said of several seeds together.
#pragma once

#include <string>
#include <vector>

#include "experiment.hpp"

namespace example {

struct finished_run {
  run_settings settings;
  run_result result{};
  step_test steps{};
};

/// Whether the runs differ in nothing that a result depends on, but (if `any_rate`) the rate.
bool same_run(run_settings const& a, run_settings const& b, bool any_rate = false);

class result_file {
 public:
  /// Reads BASE.csv if it is there. Throws std::runtime_error, with the line, if it is no such file.
  explicit result_file(std::string base);

  std::vector<finished_run> const& runs() const { return runs_; }
  finished_run const* find(run_settings const& run) const;
  /// Appends to BASE.csv at once, so that a run is kept whatever happens to the next.
  void add(finished_run const& run);
  /// BASE.json, anew.
  void write_json() const;
  std::string path(std::string const& ending) const { return base_ + ending; }

 private:
  std::string base_;
  std::vector<finished_run> runs_;
};

/// Over seeds: the mean, and the deviation of one of them (the sample's; 0 for one seed).
struct spread {
  double mean = 0;
  double deviation = 0;
};

/// A mixer at one size: its best learning rate, by the mean accuracy of that rate's seeds, and the spread over these.
struct summary {
  run_settings settings;  // with the best rate, and the first of the seeds
  int seeds = 0;
  spread accuracy{};
  spread steps{};  // until a run stopped
  double steps_accuracy = 0;
  std::size_t state_bytes = 0;
};

/// "97.6 +- 0.4 %"; of one seed, which shows no spread, "97.6 %, 1 seed".
std::string accuracy_text(summary const& row);
/// "400 +- 20 steps", "400 steps".
std::string steps_text(summary const& row);

/// In the order in which their first runs finished.
std::vector<summary> summarise(std::vector<finished_run> const& runs);

/// For the terminal.
std::string summary_table(std::vector<summary> const& rows);

}  // namespace example
