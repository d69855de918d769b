// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The state of one map cannot be passed to another.
// expect: (invalid initialization|no viable conversion|no known conversion)
#include "backend.hpp"

void decode(linattn::host_state<linattn::taylor<16>>& taylor_state, linattn::host_state<linattn::rebased<16>>& state) {
  linattn::attention<linattn::rebased<16>> const attn{};
#ifdef REJECT
  linattn::step(idle_executor{}, attn, taylor_state.view(), {});
#else
  linattn::step(idle_executor{}, attn, state.view(), {});
  static_cast<void>(taylor_state);
#endif
}
