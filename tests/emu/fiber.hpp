// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Switching between stacks: 10 ns on x86-64, ucontext (1.4 us, it saves signal masks) elsewhere.
#ifndef LINATTN_TESTS_EMU_FIBER_HPP
#define LINATTN_TESTS_EMU_FIBER_HPP

#include <linattn/core/config.hpp>

#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace linattn::inline LINATTN_ABI::emu::detail {

/// Where a suspended fiber goes on.
struct fiber {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
};

/// Makes `f` start in entry(), which must never return, on the stack [stack, stack + bytes).
void prepare(fiber& f, char* stack, std::size_t bytes, void (*entry)());

/// Suspends the running fiber as `from` and goes on with `to`.
void switch_fiber(fiber& from, fiber& to);

}  // namespace linattn::inline LINATTN_ABI::emu::detail

#endif
