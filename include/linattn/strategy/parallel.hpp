// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The quadratic form: every pair of tokens is scored. Fastest for short sequences.
#ifndef LINATTN_STRATEGY_PARALLEL_HPP
#define LINATTN_STRATEGY_PARALLEL_HPP

#include <linattn/core/config.hpp>

namespace linattn::inline LINATTN_ABI {

/// O(T^2 (d + V)) time; no state is kept, except where a state is passed in or asked for.
struct parallel {
  using is_execution_strategy = void;
};

}  // namespace linattn::inline LINATTN_ABI

#endif
