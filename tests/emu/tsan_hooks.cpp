// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What code compiled with -fsanitize=thread calls at each load and store. libtsan is not linked: these definitions
// stand in for it, and tell the executor what a kernel does.
#include "machine.hpp"

#include <cstring>

namespace linattn::inline LINATTN_ABI::emu::detail {
namespace {

void observe_access(void const* p, std::size_t bytes, bool write, std::size_t alignment, void const* pc) {
  if (!in_kernel) {
    observe_host_code();
    return;
  }
  if (on_own_stack(p)) {
    return;
  }
  executor_scope const scope;
  check_access(p, bytes, write, alignment, pc);
}

}  // namespace
}  // namespace linattn::inline LINATTN_ABI::emu::detail

using linattn::emu::detail::observe_access;

#define LINATTN_EMU_PC __builtin_return_address(0)
#define LINATTN_EMU_ACCESS(bytes)                                                                       \
  void __tsan_read##bytes(void* p) { observe_access(p, bytes, false, bytes, LINATTN_EMU_PC); }          \
  void __tsan_write##bytes(void* p) { observe_access(p, bytes, true, bytes, LINATTN_EMU_PC); }          \
  void __tsan_volatile_read##bytes(void* p) { observe_access(p, bytes, false, bytes, LINATTN_EMU_PC); } \
  void __tsan_volatile_write##bytes(void* p) { observe_access(p, bytes, true, bytes, LINATTN_EMU_PC); } \
  void __tsan_unaligned_read##bytes(void* p) { observe_access(p, bytes, false, 1, LINATTN_EMU_PC); }    \
  void __tsan_unaligned_write##bytes(void* p) { observe_access(p, bytes, true, 1, LINATTN_EMU_PC); }    \
  void __tsan_read_write##bytes(void* p) {                                                              \
    observe_access(p, bytes, false, bytes, LINATTN_EMU_PC);                                             \
    observe_access(p, bytes, true, bytes, LINATTN_EMU_PC);                                              \
  }                                                                                                     \
  void __tsan_unaligned_read_write##bytes(void* p) {                                                    \
    observe_access(p, bytes, false, 1, LINATTN_EMU_PC);                                                 \
    observe_access(p, bytes, true, 1, LINATTN_EMU_PC);                                                  \
  }

// Atomic operations of the host code in the same translation unit: done, not observed. Kernels have none.
#define LINATTN_EMU_UPDATE(bits, type, name) \
  type __tsan_atomic##bits##_##name(type volatile* p, type v, int) { return __atomic_##name(p, v, __ATOMIC_SEQ_CST); }
#define LINATTN_EMU_EXCHANGE(bits, type, strength, weak)                                                      \
  int __tsan_atomic##bits##_compare_exchange_##strength(type volatile* p, type* expected, type v, int, int) { \
    return __atomic_compare_exchange_n(p, expected, v, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;     \
  }
#define LINATTN_EMU_ATOMIC(bits, type)                                                                          \
  type __tsan_atomic##bits##_load(type const volatile* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(type volatile* p, type v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_exchange(type volatile* p, type v, int) {                                          \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                                         \
  }                                                                                                             \
  LINATTN_EMU_UPDATE(bits, type, fetch_add)                                                                     \
  LINATTN_EMU_UPDATE(bits, type, fetch_sub)                                                                     \
  LINATTN_EMU_UPDATE(bits, type, fetch_and)                                                                     \
  LINATTN_EMU_UPDATE(bits, type, fetch_or)                                                                      \
  LINATTN_EMU_UPDATE(bits, type, fetch_xor)                                                                     \
  LINATTN_EMU_EXCHANGE(bits, type, strong, false)                                                               \
  LINATTN_EMU_EXCHANGE(bits, type, weak, true)                                                                  \
  type __tsan_atomic##bits##_compare_exchange_val(type volatile* p, type expected, type v, int, int) {          \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                    \
    return expected;                                                                                            \
  }

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wmissing-prototypes"
#endif

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

LINATTN_EMU_ACCESS(1)
LINATTN_EMU_ACCESS(2)
LINATTN_EMU_ACCESS(4)
LINATTN_EMU_ACCESS(8)
LINATTN_EMU_ACCESS(16)
void __tsan_read_range(void* p, std::size_t bytes) { observe_access(p, bytes, false, 1, LINATTN_EMU_PC); }
void __tsan_write_range(void* p, std::size_t bytes) { observe_access(p, bytes, true, 1, LINATTN_EMU_PC); }
void* __tsan_memset(void* p, int value, std::size_t bytes) {
  observe_access(p, bytes, true, 1, LINATTN_EMU_PC);
  return std::memset(p, value, bytes);
}
void* __tsan_memcpy(void* to, void const* from, std::size_t bytes) {
  observe_access(from, bytes, false, 1, LINATTN_EMU_PC);
  observe_access(to, bytes, true, 1, LINATTN_EMU_PC);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, void const* from, std::size_t bytes) {
  observe_access(from, bytes, false, 1, LINATTN_EMU_PC);
  observe_access(to, bytes, true, 1, LINATTN_EMU_PC);
  return std::memmove(to, from, bytes);
}

LINATTN_EMU_ATOMIC(8, unsigned char)
LINATTN_EMU_ATOMIC(16, unsigned short)
LINATTN_EMU_ATOMIC(32, unsigned)
LINATTN_EMU_ATOMIC(64, unsigned long)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}
}
