// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every parameter's gradient against finite differences, on a tiny model. A test of the layers and mixers, and through
// them of linattn::backward.
#pragma once

#include <string>

namespace example {

/// Which positions have a target; where not all have one, each position has a vector too.
enum class check_targets { all, some };

/// Prints a line a slice of parameters that is wrong, and a summary; true if none is. `mixer`: one of mixer_names().
bool check_gradients(std::string const& mixer, check_targets targets);

}  // namespace example
