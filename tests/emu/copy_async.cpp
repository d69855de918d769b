// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Asynchronous copies: nothing arrives before its group is waited for, and until then the target holds NaNs.
#include "machine.hpp"

#include <cstring>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

namespace {

void check_copy(std::uint32_t dst, void const* src, int bytes, int src_bytes, void const* pc) {
  auto const size = static_cast<unsigned>(bytes);
  if (src_bytes < 0 || src_bytes > bytes) {
    fail(fault::bad_call, pc, format("copy_async of %d bytes out of %d", src_bytes, bytes));
  }
  if (dst % size != 0) {
    fail(fault::misaligned, pc, format("copy_async of %d bytes to shared offset %d", bytes, static_cast<int>(dst)));
  }
  if (reinterpret_cast<std::uintptr_t>(src) % size != 0) {
    fail(fault::misaligned, pc, format("copy_async of %d bytes from %p", bytes, src));
  }
  if (src_bytes > 0 && !in_arena(src)) {
    fail(fault::bad_call, pc, "copy_async from a pointer that is not to device memory");
  }
}

void land(copy const& c) {
  char* const dst = at_shared(c.dst);
  auto const bytes = static_cast<std::size_t>(c.bytes);
  auto const src_bytes = static_cast<std::size_t>(c.src_bytes);
  if (src_bytes != 0) {
    read_global(c.src, src_bytes, c.pc);  // again: a write since the copy was issued races with it
    std::memcpy(dst, c.src, src_bytes);
  }
  std::memset(dst + src_bytes, 0, bytes - src_bytes);
  land_copy(c.dst, bytes, c.pc);
}

}  // namespace

}  // namespace detail

void copy_async(std::uint32_t dst, void const* global_src, int bytes, int src_bytes) {
  detail::executor_scope const scope;
  void const* const pc = __builtin_return_address(0);
  detail::check_copy(dst, global_src, bytes, src_bytes, pc);
  if (src_bytes > 0) {
    detail::read_global(global_src, static_cast<std::size_t>(src_bytes), pc);
  }
  auto const size = static_cast<std::size_t>(bytes);
  detail::write_shared(static_cast<std::int32_t>(dst), size, pc, detail::store_kind::asynchronous);
  std::memset(detail::at_shared(dst), 0xff, size);
  ++current_stats().copies;
  current_stats().copied_bytes += static_cast<std::uint64_t>(src_bytes);
  detail::current->open_copies.push_back({dst, static_cast<char const*>(global_src), bytes, src_bytes, pc});
}

void copy_async_commit() {
  detail::executor_scope const scope;
  detail::current->copy_groups.push_back(std::move(detail::current->open_copies));
  detail::current->open_copies.clear();
}

void copy_async_wait(int groups) {
  detail::executor_scope const scope;
  auto& under_way = detail::current->copy_groups;
  while (static_cast<int>(under_way.size()) > groups) {
    for (auto const& copy : under_way.front()) {
      detail::land(copy);
    }
    under_way.erase(under_way.begin());
  }
}

}  // namespace linattn::inline LINATTN_ABI::emu
