// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every load and store of a device thread: which memory is it, and may the kernel touch it?
#include "machine.hpp"

#include <link.h>

#include <algorithm>
#include <cstring>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

namespace {

bool instrumented_code_ran = false;

struct range {
  char const* begin;
  char const* end;
};

int add_constant_segments(dl_phdr_info* module, std::size_t /*size*/, void* data) {
  auto& ranges = *static_cast<std::vector<range>*>(data);
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    auto const& segment = module->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) {
      auto const* const begin = reinterpret_cast<char const*>(module->dlpi_addr + segment.p_vaddr);
      ranges.push_back({begin, begin + segment.p_memsz});
    }
  }
  return 0;
}

/// Tables that the compiler made out of constexpr arrays: on the device they are constants too.
bool is_constant(char const* p) {
  static std::vector<range> const ranges = [] {
    std::vector<range> found;
    dl_iterate_phdr(add_constant_segments, &found);
    return found;
  }();
  return std::any_of(ranges.begin(), ranges.end(), [p](range const& r) { return p >= r.begin && p < r.end; });
}

bool is_parameter(char const* p, std::size_t bytes) {
  auto const* const begin = static_cast<char const*>(active->call.params);
  return p >= begin && p + bytes <= begin + active->call.params_bytes;
}

}  // namespace

void observe_host_code() { instrumented_code_ran = true; }

void check_access(void const* p, std::size_t bytes, bool write, std::size_t alignment, void const* pc) {
  auto* const at = const_cast<char*>(static_cast<char const*>(p));
  bool const aligned = reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
  if (on_own_stack(at)) {
    return;
  }
  if (is_shared(p)) {
    if (!aligned) {
      fail(fault::misaligned, pc,
           format("access of %zu bytes at shared offset %lld", bytes, static_cast<long long>(shared_offset(p))));
    }
    write ? write_shared(shared_offset(p), bytes, pc) : read_shared(shared_offset(p), bytes, pc);
  } else if (in_arena(p)) {
    if (!aligned) {
      fail(fault::misaligned, pc, format("access of %zu bytes ", bytes) + locate_global(p));
    }
    write ? write_global(at, bytes, pc) : read_global(at, bytes, pc);
  } else if (write || !(is_parameter(at, bytes) || is_constant(at))) {
    fail(fault::host_memory, pc,
         format("%s %zu bytes at %p: not its stack, not shared, not device memory", write ? "writes" : "reads", bytes,
                p));
  }
  if (active->chosen.preempt != 0 && random_number() % active->chosen.preempt == 0) {
    let_others_run();
  }
}

}  // namespace detail

bool instrumented() { return detail::instrumented_code_ran; }

void load(void const* p, void* value, std::size_t bytes) {
  detail::executor_scope const scope;
  detail::check_access(p, bytes, false, bytes, __builtin_return_address(0));
  std::memcpy(value, p, bytes);
}

void load_readonly(void const* p, void* value, std::size_t bytes) {
  detail::executor_scope const scope;
  void const* const pc = __builtin_return_address(0);
  if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) {
    detail::fail(fault::misaligned, pc, detail::format("load_readonly of %zu bytes at %p", bytes, p));
  }
  if (!detail::in_arena(p)) {
    detail::fail(fault::bad_call, pc, "load_readonly of a pointer that is not to device memory");
  }
  detail::read_global_unwritten(p, bytes, pc);
  std::memcpy(value, p, bytes);
}

void store(void* p, void const* value, std::size_t bytes) {
  detail::executor_scope const scope;
  detail::check_access(p, bytes, true, bytes, __builtin_return_address(0));
  std::memcpy(p, value, bytes);
}

}  // namespace linattn::inline LINATTN_ABI::emu
