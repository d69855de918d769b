// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An executor whose engines are not included names the header that is missing.
// expect: linattn::forward: no engine for this executor and strategy
#include "backend.hpp"

struct other_executor {
  using is_executor = void;
  static constexpr bool reads_host_memory = true;
};

void run() {
  linattn::attention<linattn::taylor<8>> const attn{};
#ifdef REJECT
  linattn::forward(other_executor{}, attn, {});
#else
  linattn::forward(idle_executor{}, attn, {});
#endif
}
