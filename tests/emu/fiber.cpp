// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "fiber.hpp"

#include <cstdint>

#if defined(__x86_64__)
extern "C" void linattn_emu_switch(void** save, void* restore);
// The callee-saved registers of the System V ABI and the stack pointer are all that a call must preserve.
asm(R"(
.text
.globl linattn_emu_switch
.hidden linattn_emu_switch
.type linattn_emu_switch,@function
.align 16
linattn_emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size linattn_emu_switch,.-linattn_emu_switch
)");
#endif

namespace linattn::inline LINATTN_ABI::emu::detail {

#if defined(__x86_64__)

void prepare(fiber& f, char* stack, std::size_t bytes, void (*entry)()) {
  auto** top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack + bytes) & ~std::uintptr_t{15});
  *--top = nullptr;  // entry's return address: keeps the alignment that the ABI promises, and ends backtraces
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) {
    *--top = nullptr;
  }
  f.stack_pointer = top;
}

void switch_fiber(fiber& from, fiber& to) { linattn_emu_switch(&from.stack_pointer, to.stack_pointer); }

#else

void prepare(fiber& f, char* stack, std::size_t bytes, void (*entry)()) {
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = stack;
  f.context.uc_stack.ss_size = bytes;
  f.context.uc_link = nullptr;
  makecontext(&f.context, entry, 0);
}

void switch_fiber(fiber& from, fiber& to) { swapcontext(&from.context, &to.context); }

#endif

}  // namespace linattn::inline LINATTN_ABI::emu::detail
