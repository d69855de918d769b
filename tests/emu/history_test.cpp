// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The executor's memory of accesses: neighbours that share a history find the same races as bytes with one each.
#include "emu/history.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace linattn_test {
namespace {

using linattn::emu::detail::access_record;
using linattn::emu::detail::byte_history;
using linattn::emu::detail::cell_history;
using linattn::emu::detail::for_each_history;
using linattn::emu::detail::observer;

constexpr std::size_t memory_bytes = 48;
constexpr unsigned threads = 4;
constexpr std::size_t readers = 2;
constexpr std::size_t nowhere = memory_bytes;

/// The first byte that races, and the code of what it races with.
struct race {
  std::size_t at = nowhere;
  std::uint64_t with = 0;
  bool operator==(race const&) const = default;
};

struct access {
  std::size_t first, bytes;
  bool write;
};

race run(byte_history<readers>& history, std::size_t at, bool write, observer const& by) {
  access_record const* const other = write ? history.overwrite(by) : history.read(by);
  return other == nullptr ? race{} : race{at, other->code};
}

/// Each byte by itself.
struct plain_memory {
  byte_history<readers> at[memory_bytes];

  race apply(access const& a, observer const& by) {
    race found;
    for (std::size_t i = a.first; i < a.first + a.bytes && found.at == nowhere; ++i) {
      found = run(at[i], i, a.write, by);
    }
    return found;
  }
};

struct shared_memory {
  cell_history<readers> cells[memory_bytes / 16];

  race apply(access const& a, observer const& by, std::uint32_t epoch) {
    race found;
    auto const visit = [&](byte_history<readers>& history, std::size_t i) {
      if (found.at == nowhere) {
        found = run(history, i, a.write, by);
      }
    };
    a.write ? for_each_history<true>(cells, a.first, a.bytes, epoch, visit)
            : for_each_history<false>(cells, a.first, a.bytes, epoch, visit);
    return found;
  }
};

access random_access(std::mt19937& random) {
  std::size_t const bytes = random() % 8 == 0 ? 1 + random() % 40 : std::size_t{1} << random() % 5;
  std::size_t const places = memory_bytes - bytes + 1;
  std::size_t const first = random() % 4 == 0 ? random() % places : random() % places / bytes * bytes;
  return {first, bytes, random() % 2 == 0};
}

TEST_CASE("accesses of all sizes and places: cells report the races of single bytes, at the same byte") {
  std::mt19937 random(1);
  shared_memory cells{};
  int races = 0;
  int accesses = 0;
  for (std::uint32_t epoch = 1; epoch <= 3000; ++epoch) {  // nothing is left of the epochs before
    plain_memory bytes{};
    std::vector<std::vector<std::uint32_t>> clocks(threads, std::vector<std::uint32_t>(threads, 0));
    for (unsigned t = 0; t < threads; ++t) {
      clocks[t][t] = 1;
    }
    race expected;
    for (int i = 0; i < 60 && expected.at == nowhere; ++i) {
      if (random() % 4 != 0) {  // two threads meet
        unsigned const pair[2] = {static_cast<unsigned>(random() % threads), static_cast<unsigned>(random() % threads)};
        for (unsigned u = 0; u < threads; ++u) {
          std::uint32_t const latest = (std::max)(clocks[pair[0]][u], clocks[pair[1]][u]);
          clocks[pair[0]][u] = clocks[pair[1]][u] = latest;
        }
        ++clocks[pair[0]][pair[0]];
        ++clocks[pair[1]][pair[1]];
      }
      auto const thread = static_cast<unsigned>(random() % threads);
      access const a = random_access(random);
      observer const by{{1, clocks[thread][thread], access_record::code_of(thread, &random + i)},
                        clocks[thread].data()};
      expected = bytes.apply(a, by);
      ++accesses;
      race const found = cells.apply(a, by, epoch);
      CAPTURE(epoch);
      CAPTURE(i);
      REQUIRE(found.at == expected.at);
      REQUIRE(found.with == expected.with);
    }
    races += expected.at == nowhere ? 0 : 1;
  }
  CHECK(races > 1000);
  CHECK(accesses > 4 * races);
}

TEST_CASE("a record keeps its thread and its program counter") {
  int here = 0;
  access_record const record{1, 2, access_record::code_of(1023, &here)};
  CHECK(record.thread() == 1023);
  CHECK(record.pc() == &here);
}

}  // namespace
}  // namespace linattn_test
