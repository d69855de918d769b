// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Decoding goes through a state in other widths where all states of a call exceed the second-level cache: a row has the
// same bits either way.
#include <linattn/linattn.hpp>
#include <linattn/tuning/cpu.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace {

using map = linattn::rebased<16>;
constexpr int value_dim = 64 + 16 + 3;  // columns for every width, and single ones
constexpr std::int64_t heads = 2;       // of queries, which share a key head
constexpr std::int64_t batch = 16;
constexpr std::int64_t tokens = 3;

struct tensors {
  std::vector<float> q, k, v;
  std::vector<float> out = std::vector<float>(std::size_t{batch * heads * value_dim});
};

/// Takes one token of `rows` batch rows from `first` on through their states.
void step_rows(tensors& x, std::int64_t first, std::int64_t rows, linattn::host_state<map>& states) {
  auto const view = [&](std::vector<float>& numbers, std::int64_t row_heads, std::int64_t channels) {
    return linattn::view_bthd(numbers.data() + first * row_heads * channels, rows, 1, row_heads, channels);
  };
  linattn::step(linattn::cpu_executor{}, linattn::attention<map>{}, states.view(),
                {.q = view(x.q, heads, map::head_dim),
                 .k = view(x.k, 1, map::head_dim),
                 .v = view(x.v, 1, value_dim),
                 .out = view(x.out, heads, value_dim)});
}

TEST_CASE("a row of a batch whose states exceed the cache has the bits that it has alone") {
  constexpr std::size_t state_size = std::size_t{map::feature_dim} * value_dim;
  static_assert(batch * state_size * sizeof(float) > linattn::detail::cpu_tuning::cached_state_bytes);
  static_assert(state_size * sizeof(float) <= linattn::detail::cpu_tuning::cached_state_bytes);
  std::mt19937 bits(42);
  std::normal_distribution<float> normal;
  auto const random = [&](std::int64_t count) {
    std::vector<float> numbers(static_cast<std::size_t>(count));
    for (float& x : numbers) {
      x = normal(bits);
    }
    return numbers;
  };
  linattn::host_state<map> together(batch, 1, value_dim);
  std::vector<linattn::host_state<map>> alone;
  for (std::int64_t row = 0; row < batch; ++row) {
    alone.emplace_back(1, 1, value_dim);
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    CAPTURE(t);
    tensors whole{random(batch * heads * map::head_dim), random(batch * map::head_dim), random(batch * value_dim)};
    tensors single = whole;
    step_rows(whole, 0, batch, together);
    for (std::int64_t row = 0; row < batch; ++row) {
      step_rows(single, row, 1, alone[static_cast<std::size_t>(row)]);
    }
    CHECK(whole.out == single.out);
  }
  for (std::size_t row = 0; row < std::size_t{batch}; ++row) {
    CAPTURE(row);
    CHECK(std::ranges::equal(together.kv_data().subspan(row * state_size, state_size), alone[row].kv_data()));
  }
}

}  // namespace
