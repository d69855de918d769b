// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A wild access of code that is not instrumented faults on a guard page: reported as any other fault, where the
// processor lets the handler go on elsewhere (x86-64); elsewhere the process ends, as it would have.
#include "machine.hpp"

#include <sys/mman.h>
#include <ucontext.h>
#include <csignal>

#include <new>

namespace linattn::inline LINATTN_ABI::emu::detail {

namespace {

constexpr std::size_t handler_stack_bytes = 64 << 10;
alignas(16) char report_stack[256 << 10];  // the faulting thread's own may be the one that overflowed
struct sigaction previous_action;
char const* fault_address = nullptr;
void const* fault_pc = nullptr;

[[noreturn]] void report_fault() {
  char const* const at = fault_address;
  if (at < current->stack && at >= current->stack - page_bytes) {
    fail(fault::stack_overflow, fault_pc,
         format("the thread's stack of %zu bytes overflows; raise options::stack_bytes", active->chosen.stack_bytes));
  }
  if (in_arena(at)) {
    fail(fault::global_out_of_bounds, fault_pc, "access " + locate_global(at));
  }
  if (is_shared(at)) {
    fail(fault::shared_out_of_bounds, fault_pc,
         format("access at shared offset %lld", static_cast<long long>(shared_offset(at))));
  }
  fail(fault::host_memory, fault_pc, format("access at %p", static_cast<void const*>(at)));
}

void on_fault(int /*signal*/, siginfo_t* info, void* context) {
#if defined(__x86_64__)
  if (current != nullptr) {
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    fault_address = static_cast<char const*>(info->si_addr);
    fault_pc = reinterpret_cast<void const*>(registers[REG_RIP] + 1);
    auto const top = reinterpret_cast<std::uintptr_t>(report_stack + sizeof(report_stack)) & ~std::uintptr_t{15};
    registers[REG_RSP] = static_cast<greg_t>(top - 8);  // as after a call
    registers[REG_RIP] = reinterpret_cast<greg_t>(&report_fault);
    return;
  }
#else
  static_cast<void>(info);
  static_cast<void>(context);
  static_cast<void>(report_fault);
#endif
  sigaction(SIGSEGV, &previous_action, nullptr);  // not a kernel's: fault again, as without us
}

}  // namespace

void catch_segmentation_faults() {
  static thread_local bool has_stack = false;
  if (!has_stack) {
    void* const memory = mmap(nullptr, handler_stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = handler_stack_bytes;
    sigaltstack(&stack, nullptr);
    has_stack = true;
  }
  // Each time: a test framework may have put its own in place for the length of a test case.
  struct sigaction installed {};
  sigaction(SIGSEGV, nullptr, &installed);
  if (installed.sa_sigaction != on_fault) {
    previous_action = installed;
    struct sigaction ours {};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &ours, nullptr);
  }
}

}  // namespace linattn::inline LINATTN_ABI::emu::detail
