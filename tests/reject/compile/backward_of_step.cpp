// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradients of a step are those of forward on its token.
// expect: linattn::backward: the state and arguments of a step
#include "backend.hpp"

void run() {
  using attention = linattn::attention<linattn::taylor<8>>;
  attention const attn{};
  attention::state_type const state{};
  linattn::step(idle_executor{}, attn, state, {});
#ifdef REJECT
  linattn::backward(idle_executor{}, attn, state, {});
#else
  linattn::backward(idle_executor{}, attn, {.initial_state = {state.kv, state.k_sum, state.slots}});
#endif
}
