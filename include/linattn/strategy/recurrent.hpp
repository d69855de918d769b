// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The recurrent form: token by token through the state, as decoding does.
#ifndef LINATTN_STRATEGY_RECURRENT_HPP
#define LINATTN_STRATEGY_RECURRENT_HPP

#include <linattn/core/config.hpp>

namespace linattn::inline LINATTN_ABI {

/// O(T D V) time, one token's scratch. Its forward over a sequence is what step() does at each token.
struct recurrent {
  using is_execution_strategy = void;
};

}  // namespace linattn::inline LINATTN_ABI

#endif
