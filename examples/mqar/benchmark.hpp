// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How fast a model trains, and what another program needs to train the same one: benchmarks/peers/mqar_throughput.py.
#pragma once

#include "options.hpp"

namespace example {

/// Trains the first mixer at the first size, `all.benchmark` steps, and prints "step,loss,seconds,cpu_seconds" lines.
/// Before it, writes OUT.weights (floats: the start values, in parameter_set's order) and OUT.examples (ints: each
/// example's tokens, then its targets), both little-endian. Throws std::runtime_error where they cannot be written.
void run_benchmark(options const& all);

}  // namespace example
