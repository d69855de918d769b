// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The state of a map cannot be passed to the same map of another head_dim.
// expect: (invalid initialization|no viable conversion|no known conversion)
#include "backend.hpp"

void decode(linattn::host_state<linattn::taylor<16>>& state) {
#ifdef REJECT
  linattn::step(idle_executor{}, linattn::attention<linattn::taylor<32>>{}, state.view(), {});
#else
  linattn::step(idle_executor{}, linattn::attention<linattn::taylor<16>>{}, state.view(), {});
#endif
}
