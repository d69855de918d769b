// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Blocks one after another, the threads of a block as fibers: who runs next, and what is left when nobody can.
#include "machine.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <new>
#include <utility>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

constinit thread_local machine* active = nullptr;
constinit thread_local device_thread* current = nullptr;
constinit thread_local bool in_kernel = false;

std::uint64_t random_number() {
  std::uint64_t& x = active->random_state;  // xorshift: the same on every platform
  x ^= x << 13U;
  x ^= x >> 7U;
  x ^= x << 17U;
  return x;
}

namespace {

device_thread* pick() {
  auto& ready = active->ready;
  if (ready.empty()) {
    return nullptr;
  }
  auto chosen = ready.begin();
  switch (active->chosen.order) {
    case schedule::random:
      chosen += static_cast<std::ptrdiff_t>(random_number() % ready.size());
      break;
    case schedule::in_order:
      chosen = std::min_element(ready.begin(), ready.end());
      break;
    case schedule::reverse:
      chosen = std::max_element(ready.begin(), ready.end());
      break;
  }
  unsigned const id = *chosen;
  *chosen = ready.back();
  ready.pop_back();
  return &active->threads[id];
}

/// To `next`, or to the host where there is none.
void switch_to(device_thread* next) {
  device_thread* const self = current;
  ++current_stats().switches;
  current = next;
  switch_fiber(self->context, next != nullptr ? next->context : active->host);
}

void check_no_copies_left(device_thread const& self) {
  if (!self.open_copies.empty()) {
    fail(fault::copy_unwaited, self.open_copies.back().pc, "the thread returns with copies that it never committed");
  }
  for (auto const& group : self.copy_groups) {
    if (!group.empty()) {
      fail(fault::copy_unwaited, group.back().pc, "the thread returns with committed copies that it never waited for");
    }
  }
}

[[noreturn]] void run_thread() {
  in_kernel = true;
  active->call.body(active->call.params, active->shared);
  in_kernel = false;
  check_no_copies_left(*current);
  barrier const& whole_block = active->barriers[0];
  if (!whole_block.waiting.empty() && whole_block.threads == 0) {
    fail(fault::barrier_divergence, active->threads[whole_block.waiting[0]].waits_at,
         format("this thread returned while %zu threads wait at this block_sync", whole_block.waiting.size()));
  }
  --active->live;
  current->state = thread_state::done;
  switch_to(pick());
  __builtin_unreachable();
}

/// Stacks are kept for the next block: mapping them costs more than running on them.
char* stack_of(unsigned thread, std::size_t bytes) {
  static thread_local std::vector<char*> stacks;
  static thread_local std::size_t stack_bytes = 0;
  if (stack_bytes != bytes) {
    for (char* stack : stacks) {
      munmap(stack - page_bytes, stack_bytes + page_bytes);
    }
    stacks.clear();
    stack_bytes = bytes;
  }
  while (stacks.size() <= thread) {
    void* const map =
        mmap(nullptr, bytes + page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
      throw std::bad_alloc();
    }
    mprotect(map, page_bytes, PROT_NONE);  // an overflow faults
    stacks.push_back(static_cast<char*>(map) + page_bytes);
  }
  return stacks[thread];
}

void report_stuck_threads() {
  std::map<std::pair<std::string, void const*>, std::vector<unsigned>> groups;
  bool at_barrier = false;
  for (auto const& thread : active->threads) {
    if (thread.state == thread_state::blocked) {
      groups[{thread.waits_in, thread.waits_at}].push_back(thread.id);
      at_barrier = at_barrier || std::strstr(thread.waits_in, "_sync") != nullptr;
    }
  }
  active->failed = at_barrier ? fault::barrier_divergence : fault::deadlock;
  extent3 const block = active->block_at;
  active->message = format("[%s] block (%u,%u,%u): no thread can go on, %u of %u have not returned",
                           name(active->failed), block.x, block.y, block.z, active->live, active->threads_per_block);
  for (auto const& [where, ids] : groups) {
    active->message += format("\n  %zu threads from %u to %u wait in %s at ", ids.size(), ids.front(), ids.back(),
                              where.first.c_str()) +
                       source_line(where.second);
  }
}

}  // namespace

void run_block() {
  machine& m = *active;
  unsigned const threads = m.threads_per_block;
  m.live = threads;
  ++m.block_serial;
  m.ready.clear();
  m.warps.assign((threads + lanes_per_warp - 1) / lanes_per_warp, {});
  for (auto& b : m.barriers) {
    b = barrier{};
  }
  m.clocks.assign(std::size_t{threads} * threads, 0);
  std::memset(m.shared, 0xff, m.call.shared_bytes);  // NaN, where nothing else notices
  m.threads.resize(threads);
  for (unsigned id = 0; id < threads; ++id) {
    clocks_of(id)[id] = 1;
    device_thread& thread = m.threads[id];
    thread.id = id;
    thread.open_copies.clear();
    thread.copy_groups.clear();
    thread.stack = stack_of(id, m.chosen.stack_bytes);
    // Frames that begin at the same place of a page would meet in the same few lines of the cache.
    std::size_t const shift = std::size_t{id} * 320 % page_bytes;
    prepare(thread.context, thread.stack, m.chosen.stack_bytes - shift, [] { run_thread(); });
    make_ready(thread);
  }
  current = pick();
  switch_fiber(m.host, current->context);
  current = nullptr;
  in_kernel = false;
  if (m.failed == fault::none && m.live > 0) {
    report_stuck_threads();
  }
  ++current_stats().blocks;
  current_stats().threads += threads;
}

void leave_for_host() {
  device_thread* const self = current;
  current = nullptr;
  switch_fiber(self->context, active->host);
  __builtin_unreachable();
}

void make_ready(device_thread& thread) {
  thread.state = thread_state::ready;
  active->ready.push_back(thread.id);
}

void block_in(char const* what, void const* pc) {
  current->state = thread_state::blocked;
  current->waits_in = what;
  current->waits_at = pc;
  switch_to(pick());
}

void let_others_run() {
  if (active->ready.empty()) {
    return;
  }
  device_thread* const next = pick();
  make_ready(*current);
  switch_to(next);
}

void meet(unsigned const* threads, std::size_t count) {
  static thread_local std::vector<std::uint32_t> latest;
  latest.assign(active->threads_per_block, 0);
  if (count == active->threads_per_block) {
    for (unsigned u = 0; u < count; ++u) {
      latest[u] = clocks_of(u)[u];  // nobody knows a thread's clock better than itself
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint32_t const* const known = clocks_of(threads[i]);
      for (std::size_t u = 0; u < latest.size(); ++u) {
        latest[u] = (std::max)(latest[u], known[u]);
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t* const known = clocks_of(threads[i]);
    std::copy(latest.begin(), latest.end(), known);
    ++known[threads[i]];
  }
}

}  // namespace detail
}  // namespace linattn::inline LINATTN_ABI::emu
