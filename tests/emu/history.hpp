// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What happened to one byte of memory, and whether the next access races with it: happens-before by vector clocks. Each
// thread counts the barriers it took part in; at a barrier everyone learns everyone's count.
#ifndef LINATTN_TESTS_EMU_HISTORY_HPP
#define LINATTN_TESTS_EMU_HISTORY_HPP

#include <linattn/core/config.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::emu::detail {

/// One access. All zero: there was none.
struct access_record {
  std::uint32_t block = 0;  // of the grid, counted from 1
  std::uint32_t thread = 0;
  std::uint32_t clock = 0;  // the thread's own, when it accessed
  std::uint32_t pc = 0;     // index of program_counters
};

/// The thread that accesses now, and what it knows of the others of its block.
struct observer {
  access_record self;
  std::uint32_t const* clocks;

  [[nodiscard]] bool knows(access_record const& other) const noexcept {
    return other.block == self.block && (other.thread == self.thread || other.clock <= clocks[other.thread]);
  }
};

/// The last write and some of the reads since. A full list forgets one at random: any one that is left finds the race.
template <std::size_t Readers>
struct byte_history {
  std::uint32_t epoch = 0;  // what is older than the launch (device memory) or the block (shared memory) is forgotten
  std::uint8_t pending = 0;
  access_record write{};
  access_record readers[Readers] = {};

  void begin(std::uint32_t now) noexcept {
    if (epoch != now) {
      *this = byte_history{};
      epoch = now;
    }
  }

  /// The write that the read races with, or null.
  access_record const* read(observer const& by) noexcept {
    if (write.block != 0 && !by.knows(write)) {
      return &write;
    }
    std::size_t slot = 0;
    while (slot < Readers && readers[slot].block != 0 && !by.knows(readers[slot])) {
      ++slot;
    }
    readers[slot < Readers ? slot : (by.self.thread + by.self.clock) % Readers] = by.self;
    return nullptr;
  }

  /// The access that the write races with, or null.
  access_record const* overwrite(observer const& by) noexcept {
    if (write.block != 0 && !by.knows(write)) {
      return &write;
    }
    for (auto const& reader : readers) {
      if (reader.block != 0 && !by.knows(reader)) {
        return &reader;
      }
    }
    for (auto& reader : readers) {
      reader = access_record{};
    }
    write = by.self;
    return nullptr;
  }
};

}  // namespace linattn::inline LINATTN_ABI::emu::detail

#endif
