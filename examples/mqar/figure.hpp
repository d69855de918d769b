// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The results as SVG, readable on light and dark pages.
#pragma once

#include <string>
#include <vector>

#include "results.hpp"

namespace example {

/// Accuracy against model dimension, a panel a sequence length, error bars (one deviation over the seeds). Where there
/// is one dimension only, bars take the place of lines.
std::string accuracy_figure(std::vector<summary> const& rows);

/// ReBased's parts: a bar each for the ablations at the first size that has them, with Based beside them.
std::string ablation_figure(std::vector<summary> const& rows);

}  // namespace example
