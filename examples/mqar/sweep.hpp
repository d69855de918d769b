// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which runs a command line means, in which order, and which of them are decided already.
#pragma once

#include "options.hpp"
#include "results.hpp"

namespace example {

/// All runs of the options that `results` does not have yet. At each size and for each mixer the first seed tries the
/// rates in turn, until one reaches run_settings::enough; the other seeds have the best rate alone.
void run_sweep(options const& all, result_file& results);

/// What was read through step beside what one forward gave, and the state's size beside softmax attention's.
std::string state_report(std::vector<summary> const& rows);

}  // namespace example
