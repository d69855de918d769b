// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The block's shared memory: bounds, and the history of each byte.
#include "machine.hpp"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

void map_shared_memory(std::size_t bytes) {
  machine& m = *active;
  if (m.shared_map == nullptr) {
    void* const map = mmap(nullptr, shared_capacity + 2 * shared_guard, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
      throw std::bad_alloc();
    }
    m.shared_map = static_cast<char*>(map);
    m.shared = m.shared_map + shared_guard;
  }
  // What the instrumentation does not see still faults on the page after the last.
  mprotect(m.shared, shared_capacity, PROT_NONE);
  mprotect(m.shared, (bytes + page_bytes - 1) / page_bytes * page_bytes, PROT_READ | PROT_WRITE);
  std::size_t const cells = (bytes + cell_history<4>::bytes - 1) / cell_history<4>::bytes;
  if (m.shared_history.size() < cells) {
    m.shared_history.resize(cells);
  }
}

bool is_shared(void const* p) {
  return static_cast<std::size_t>(static_cast<char const*>(p) - active->shared_map) <
         shared_capacity + 2 * shared_guard;
}

std::int64_t shared_offset(void const* p) { return static_cast<char const*>(p) - active->shared; }

/// Addresses before the block's memory wrap around, as unsigned numbers.
char* at_shared(std::uint32_t address) { return active->shared + static_cast<std::int32_t>(address); }

namespace {

void check_bounds(std::int64_t offset, std::size_t bytes, char const* how, void const* pc) {
  if (offset < 0 || static_cast<std::size_t>(offset) + bytes > active->call.shared_bytes) {
    fail(fault::shared_out_of_bounds, pc,
         format("%s of %zu bytes at shared offset %lld; the block has %zu bytes", how, bytes,
                static_cast<long long>(offset), active->call.shared_bytes));
  }
}

/// f(history, offset), for all histories of these bytes.
template <bool SameAfter, class F>
void for_each(std::int64_t offset, std::size_t bytes, F&& f) {
  for_each_history<SameAfter>(active->shared_history.data(), static_cast<std::size_t>(offset), bytes,
                              active->block_serial, f);
}

void check_not_pending(byte_history<4> const& byte, std::size_t at, char const* how, void const* pc) {
  if (byte.pending) {
    fail(fault::copy_pending, pc,
         format("%s shared byte %zu, into which a copy is under way: ", how, at) + describe(byte.write) +
             "; nobody waited for it");
  }
}

}  // namespace

void read_shared(std::int64_t offset, std::size_t bytes, void const* pc) {
  check_bounds(offset, bytes, "read", pc);
  ++current_stats().shared_accesses;
  if (!active->chosen.shadow) {
    return;
  }
  observer const me = observe(pc);
  for_each<false>(offset, bytes, [&](byte_history<4>& byte, std::size_t at) {
    check_not_pending(byte, at, "reads", pc);
    if (byte.write.block == 0) {
      fail(fault::shared_uninitialised, pc, format("reads shared byte %zu, which this block never wrote", at));
    }
    if (access_record const* const other = byte.read(me)) {
      fail(fault::shared_race, pc, format("reads shared byte %zu, racing with the write ", at) + describe(*other));
    }
  });
}

void write_shared(std::int64_t offset, std::size_t bytes, void const* pc, store_kind kind) {
  check_bounds(offset, bytes, "write", pc);
  ++current_stats().shared_accesses;
  if (!active->chosen.shadow) {
    return;
  }
  observer const me = observe(pc);
  for_each<true>(offset, bytes, [&](byte_history<4>& byte, std::size_t at) {
    check_not_pending(byte, at, "writes", pc);
    if (access_record const* const other = byte.overwrite(me)) {
      char const* const what = other == &byte.write ? "write " : "read ";
      fail(fault::shared_race, pc, format("writes shared byte %zu, racing with the %s", at, what) + describe(*other));
    }
    byte.pending = kind == store_kind::asynchronous;
  });
}

/// The copy's bytes are there: for this thread now, for others after a barrier.
void land_copy(std::uint32_t dst, std::size_t bytes, void const* pc) {
  if (!active->chosen.shadow) {
    return;
  }
  observer const me = observe(pc);
  for_each<false>(static_cast<std::int64_t>(dst), bytes, [&](byte_history<4>& byte, std::size_t /*at*/) {
    byte.pending = false;
    byte.write = me.self;
  });
}

}  // namespace detail

std::uint32_t to_shared(void const* p) {
  detail::executor_scope const scope;
  std::int64_t const offset = detail::shared_offset(p);
  if (!detail::is_shared(p)) {
    detail::fail(fault::bad_call, __builtin_return_address(0), "to_shared of a pointer that is not to shared memory");
  }
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(offset));
}

}  // namespace linattn::inline LINATTN_ABI::emu
