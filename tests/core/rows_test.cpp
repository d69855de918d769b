// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows in the CPU engine. Of 16-bit elements, in and out: as the elements' own conversions, be it by vectors or one by
// one, in rows of three vectors and a rest, so that both happen. In register tiles: where each tile begins.
#include <linattn/cpu/microkernel.hpp>
#include <linattn/cpu/rows.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

using linattn::bf16;
using linattn::f16;
using linattn::detail::copy_rows;
using linattn::detail::row_source;
using linattn::detail::row_target;
using linattn::detail::write_rows;

constexpr int row_size = 3 * linattn::detail::simd<float>::width + 5;
constexpr int patterns = 1 << 16;
constexpr int rows = (patterns + row_size - 1) / row_size;
constexpr std::size_t numbers = std::size_t{rows} * row_size;

bool same_number(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

TEST_CASE_TEMPLATE("rows of all 65536 patterns are read as their values", E, bf16, f16) {
  std::vector<E> elements(numbers);
  for (std::size_t i = 0; i < numbers; ++i) {
    elements[i].bits = static_cast<std::uint16_t>(i);
  }
  std::vector<float> found(numbers, -1.0F);
  copy_rows(row_source{elements.data(), row_size, linattn::element_kind_of<E>, row_size}, 0, rows, rows, 0, row_size,
            found.data(), row_size);
  int wrong = 0;
  for (std::size_t i = 0; i < numbers; ++i) {
    wrong += same_number(found[i], static_cast<float>(elements[i])) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("rows are written as their numbers are rounded: values, ties, and both sides of each", E, bf16,
                   f16) {
  for (int const side : {-1, 0, 1}) {
    for (bool const tie : {false, true}) {
      CAPTURE(side);
      CAPTURE(tie);
      std::vector<float> values(numbers);
      for (std::size_t i = 0; i < numbers; ++i) {
        E pattern{};
        pattern.bits = static_cast<std::uint16_t>(i);
        E next{};
        next.bits = static_cast<std::uint16_t>(i + 1);
        float const value = static_cast<float>(pattern);
        float const upper = static_cast<float>(next);
        float const at = tie && std::isfinite(upper - value) ? value + (upper - value) / 2 : value;
        float const beside = std::nextafter(at, static_cast<float>(side) * std::numeric_limits<float>::infinity());
        values[i] = side == 0 ? at : beside;
      }
      std::vector<E> found(numbers);
      write_rows(row_target{found.data(), row_size, linattn::element_kind_of<E>, row_size}, 0, rows, 0, row_size,
                 values.data(), row_size);
      int wrong = 0;
      for (std::size_t i = 0; i < numbers; ++i) {
        wrong += same_number(static_cast<float>(found[i]), static_cast<float>(E(values[i]))) ? 0 : 1;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("rows are cut into register tiles of six and five, and the tile of a row is known") {
  using linattn::detail::tile_rows;
  for (int count = 0; count < 200; ++count) {
    CAPTURE(count);
    linattn::detail::row_cut const cut(count);
    CHECK(cut.whole % tile_rows == 0);
    CHECK(cut.almost % (tile_rows - 1) == 0);
    CHECK(cut.almost / (tile_rows - 1) < tile_rows);
    int const rest = count - cut.whole - cut.almost;
    CHECK(rest >= 0);
    CHECK(rest < (count < 20 ? tile_rows - 1 : 1));
    for (int row = 0; row < count; ++row) {
      int begin = 0;
      for (int next = 0; next <= row;) {
        begin = next;
        next += next < cut.whole ? tile_rows : (next < cut.whole + cut.almost ? tile_rows - 1 : 1);
      }
      CHECK(cut.tile_begin(row) == (row < cut.whole + cut.almost ? begin : cut.whole + cut.almost));
    }
  }
}

}  // namespace
