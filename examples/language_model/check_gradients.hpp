// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every parameter's gradient against finite differences, on a tiny model. A test of the examples' layers, and through
// them of linattn::backward.
#pragma once

#include <string>

namespace example {

/// Prints a line a parameter block that is wrong, and a summary; true if none is.
bool check_gradients(std::string const& kernel);

}  // namespace example
