// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Barriers, and the meeting of a warp's lanes: shuffles, votes, and all that needs a whole warp.
#include "collectives.hpp"

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

namespace {

rendezvous& join_rendezvous(char const* operation, std::uint64_t variant, std::uint32_t mask, unsigned lane,
                            void const* pc) {
  auto& meetings = active->warps[current->id / lanes_per_warp];
  for (auto& meeting : meetings) {
    if (meeting.mask == mask && (meeting.arrived >> lane & 1U) == 0) {
      if (meeting.operation != operation || meeting.variant != variant) {
        fail(
            fault::warp_divergence, pc,
            format("%s, while lanes 0x%08x of the warp wait in %s at ", operation, meeting.arrived, meeting.operation) +
                source_line(meeting.pc));
      }
      return meeting;
    }
  }
  for (auto const& meeting : meetings) {
    if ((meeting.mask & mask) != 0) {
      fail(fault::warp_divergence, pc,
           format("%s with mask 0x%08x, while lanes 0x%08x wait in %s with mask 0x%08x at ", operation, mask,
                  meeting.arrived, meeting.operation, meeting.mask) +
               source_line(meeting.pc));
    }
  }
  rendezvous& made = meetings.emplace_back();
  made.mask = mask;
  made.operation = operation;
  made.variant = variant;
  made.pc = pc;
  return made;
}

void release_lanes(std::uint32_t mask, memory_order order) {
  unsigned const first = current->id / lanes_per_warp * lanes_per_warp;
  unsigned ids[lanes_per_warp];
  std::size_t count = 0;
  for (unsigned lane = 0; lane < lanes_per_warp; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      ids[count++] = first + lane;
    }
  }
  if (order == memory_order::barrier) {
    meet(ids, count);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (ids[i] != current->id) {
      make_ready(active->threads[ids[i]]);
    }
  }
}

void let_others_overtake() {
  if (active->chosen.order == schedule::random) {
    let_others_run();
  }
}

}  // namespace

void collective(char const* operation, std::uint64_t variant, std::uint32_t mask, void* data, warp_operation run,
                memory_order order, void const* pc) {
  unsigned const lane = current->id % lanes_per_warp;
  if ((mask >> lane & 1U) == 0) {
    fail(fault::warp_divergence, pc, format("%s with mask 0x%08x, which lacks the calling lane", operation, mask));
  }
  rendezvous& meeting = join_rendezvous(operation, variant, mask, lane, pc);
  meeting.arrived |= 1U << lane;
  meeting.data[lane] = data;
  if (meeting.arrived != mask) {
    block_in(operation, pc);
    return;
  }
  ++current_stats().collectives;
  if (run != nullptr) {
    run(meeting.data.data(), mask, variant);
  }
  auto& meetings = active->warps[current->id / lanes_per_warp];
  meeting = meetings.back();
  meetings.pop_back();
  release_lanes(mask, order);
  let_others_overtake();
}

namespace {

void arrive(int id, int threads, char const* what, void const* pc) {
  if (id < 0 || id > 15 || threads < 0 || threads % 32 != 0) {
    fail(fault::bad_call, pc, format("named_sync(%d, %d); barriers 0 to 15, whole warps", id, threads));
  }
  barrier& b = active->barriers[static_cast<std::size_t>(id)];
  if (b.waiting.empty()) {
    b.threads = threads;
  } else if (b.threads != threads) {
    fail(fault::barrier_divergence, pc, format("barrier %d for %d threads, and for %d", id, threads, b.threads));
  }
  if (threads == 0 && active->live != active->threads_per_block) {
    fail(fault::barrier_divergence, pc,
         format("block_sync after %u threads of the block returned", active->threads_per_block - active->live));
  }
  b.waiting.push_back(current->id);
  std::size_t const wanted = threads == 0 ? active->threads_per_block : static_cast<std::size_t>(threads);
  if (b.waiting.size() < wanted) {
    block_in(what, pc);
    return;
  }
  ++current_stats().barriers;
  meet(b.waiting.data(), b.waiting.size());
  for (unsigned const waiting : b.waiting) {
    if (waiting != current->id) {
      make_ready(active->threads[waiting]);
    }
  }
  b.waiting.clear();
  let_others_overtake();
}

struct shuffle_data {
  std::uint64_t bits;
  int argument;
  std::uint64_t received;
};

int shuffle_source(shuffle_kind kind, int lane, int argument) {
  int source = lane;
  switch (kind) {
    case shuffle_kind::index:
      source = argument & 31;
      break;
    case shuffle_kind::exclusive_or:
      source = lane ^ argument;
      break;
    case shuffle_kind::up:
      source = lane - argument;
      break;
    case shuffle_kind::down:
      source = lane + argument;
      break;
  }
  return source < 0 || source > 31 ? lane : source;
}

void run_shuffle(void* const* lanes, std::uint32_t mask, std::uint64_t kind) {
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      auto& me = *static_cast<shuffle_data*>(lanes[lane]);
      int const source = shuffle_source(static_cast<shuffle_kind>(kind), lane, me.argument);
      // From a lane outside of the mask the value is undefined: here a NaN.
      bool const defined = (mask >> source & 1U) != 0;
      me.received = defined ? static_cast<shuffle_data const*>(lanes[source])->bits : ~std::uint64_t{0};
    }
  }
}

void run_ballot(void* const* lanes, std::uint32_t mask, std::uint64_t /*variant*/) {
  std::uint32_t votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0 && *static_cast<std::uint32_t*>(lanes[lane]) != 0) {
      votes |= 1U << lane;
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      *static_cast<std::uint32_t*>(lanes[lane]) = votes;
    }
  }
}

}  // namespace
}  // namespace detail

extent3 thread_idx() { return {detail::current->id, 0, 0}; }
extent3 block_idx() { return detail::active->block_at; }
extent3 block_dim() { return {detail::active->threads_per_block, 1, 1}; }
extent3 grid_dim() { return detail::active->grid; }

void block_sync() {
  detail::executor_scope const scope;
  detail::arrive(0, 0, "block_sync", __builtin_return_address(0));
}

void named_sync(int id, int threads) {
  detail::executor_scope const scope;
  detail::arrive(id, threads, "named_sync", __builtin_return_address(0));
}

void warp_sync(unsigned mask) {
  detail::executor_scope const scope;
  detail::collective("warp sync", 0, mask, nullptr, nullptr, detail::memory_order::barrier,
                     __builtin_return_address(0));
}

std::uint64_t shuffle(std::uint64_t bits, shuffle_kind kind, int argument, unsigned mask) {
  detail::executor_scope const scope;
  ++current_stats().shuffles;
  detail::shuffle_data data{bits, argument, 0};
  detail::collective("shuffle", static_cast<std::uint64_t>(kind), mask, &data, detail::run_shuffle,
                     detail::memory_order::none, __builtin_return_address(0));
  return data.received;
}

unsigned ballot(bool vote, unsigned mask) {
  detail::executor_scope const scope;
  std::uint32_t votes = vote ? 1 : 0;
  detail::collective("ballot", 0, mask, &votes, detail::run_ballot, detail::memory_order::none,
                     __builtin_return_address(0));
  return votes;
}

}  // namespace linattn::inline LINATTN_ABI::emu
