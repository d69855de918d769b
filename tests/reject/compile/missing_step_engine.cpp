// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The same for step: each verb has its own advice.
// expect: linattn::step: no engine for this executor and strategy
#include "backend.hpp"

struct other_executor {
  using is_executor = void;
  static constexpr bool reads_host_memory = true;
};

void run(linattn::host_state<linattn::taylor<8>>& state) {
#ifdef REJECT
  linattn::step(other_executor{}, linattn::attention<linattn::taylor<8>>{}, state.view(), {});
#else
  linattn::step(idle_executor{}, linattn::attention<linattn::taylor<8>>{}, state.view(), {});
#endif
}
