// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What happened to the bytes of memory, and whether the next access races with it: happens-before by vector clocks.
// Each thread counts the barriers it took part in; at a barrier everyone learns everyone's count.
#ifndef LINATTN_TESTS_EMU_HISTORY_HPP
#define LINATTN_TESTS_EMU_HISTORY_HPP

#include <linattn/core/config.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::emu::detail {

/// One access. All zero: there was none.
struct access_record {
  std::uint32_t block = 0;  // of the grid, counted from 1
  std::uint32_t clock = 0;  // the thread's own, when it accessed
  std::uint64_t code = 0;   // thread and program counter: an address of user space has 48 bits

  static std::uint64_t code_of(unsigned thread, void const* pc) noexcept {
    return reinterpret_cast<std::uintptr_t>(pc) << 16U | thread;
  }
  [[nodiscard]] unsigned thread() const noexcept { return code & 0xffffU; }
  [[nodiscard]] void const* pc() const noexcept {
    return reinterpret_cast<void const*>(static_cast<std::uintptr_t>(code >> 16U));
  }
};

/// The thread that accesses now, and what it knows of the others of its block.
struct observer {
  access_record self;
  std::uint32_t const* clocks;

  [[nodiscard]] bool knows(access_record const& other) const noexcept {
    return other.block == self.block && (other.thread() == self.thread() || other.clock <= clocks[other.thread()]);
  }
};

/// The last write and some of the reads since. A full list forgets one at random: any one that is left finds the race.
template <std::size_t Readers>
struct byte_history {
  bool pending = false;  // an asynchronous copy is under way
  access_record write{};
  access_record readers[Readers] = {};

  /// The write that the read races with, or null.
  access_record const* read(observer const& by) noexcept {
    if (write.block != 0 && !by.knows(write)) {
      return &write;
    }
    std::size_t slot = 0;
    while (slot < Readers && readers[slot].block != 0 && !by.knows(readers[slot])) {
      ++slot;
    }
    readers[slot < Readers ? slot : (by.self.thread() + by.self.clock) % Readers] = by.self;
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

/// The histories of 16 bytes. Neighbours that have only been accessed together share one.
template <std::size_t Readers>
struct cell_history {
  static constexpr std::size_t bytes = 16;
  std::uint32_t epoch = 0;  // what is older than the launch (device memory) or the block (shared memory) is forgotten
  std::uint32_t grain = 0;  // bytes that share a history: 16, 8, 4, 2, 1; the first byte's place holds it
  byte_history<Readers> at[bytes];

  void begin(std::uint32_t now) noexcept {
    if (epoch != now) {
      at[0] = {};
      grain = bytes;
      epoch = now;
    }
  }

  /// So that the bytes [first, last) share no history with others.
  void separate(std::size_t first, std::size_t last) noexcept {
    while ((first | last) % grain != 0) {
      grain /= 2;
      for (std::size_t i = 0; i < bytes; i += 2 * std::size_t{grain}) {
        at[i + grain] = at[i];
      }
    }
  }

  /// All bytes have been written together.
  void unite() noexcept { grain = bytes; }
};

/// f(history, the first byte that it is of) for all histories of the bytes [first, first + bytes); f must not return
/// where these fail. `same_after`: f leaves the same in each of them.
template <bool SameAfter, std::size_t Readers, class F>
inline void for_each_history(cell_history<Readers>* cells, std::size_t first, std::size_t bytes, std::uint32_t epoch,
                             F&& f) {
  using cell_type = cell_history<Readers>;
  std::size_t const end = first + bytes;
  for (std::size_t begin = first; begin < end;) {
    std::size_t const cell_begin = begin / cell_type::bytes * cell_type::bytes;
    std::size_t const cell_end = cell_begin + cell_type::bytes;
    std::size_t const stop = end < cell_end ? end : cell_end;
    cell_type& cell = cells[begin / cell_type::bytes];
    cell.begin(epoch);
    cell.separate(begin - cell_begin, stop - cell_begin);
    for (std::size_t i = begin; i < stop; i += cell.grain) {
      f(cell.at[i - cell_begin], i);
    }
    if (SameAfter && stop - begin == cell_type::bytes) {
      cell.unite();
    }
    begin = stop;
  }
}

}  // namespace linattn::inline LINATTN_ABI::emu::detail

#endif
