// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Views: strides of each factory, indexing, conversions (const, mdspan, span), absent views.
#include <linattn/core/tensor_view.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace {

using linattn::tensor_view;

/// What every mdspan has, under names of our own: no mdspan header is needed to convert from one.
template <class T, std::size_t Rank>
struct mdspan_look_alike {
  using index_type = unsigned short;
  T* pointer = nullptr;
  std::array<index_type, Rank> shape{};
  std::array<index_type, Rank> steps{};

  static constexpr std::size_t rank() noexcept { return Rank; }
  [[nodiscard]] constexpr index_type extent(std::size_t i) const { return shape[i]; }
  [[nodiscard]] constexpr index_type stride(std::size_t i) const { return steps[i]; }
  [[nodiscard]] constexpr T* data_handle() const { return pointer; }
};

struct not_an_mdspan {
  static constexpr std::size_t rank() { return 4; }
};

static_assert(std::is_trivially_copyable_v<tensor_view<float, 4>>);
static_assert(std::is_convertible_v<mdspan_look_alike<float, 4>, tensor_view<float, 4>>);
static_assert(std::is_convertible_v<mdspan_look_alike<float, 4>, tensor_view<float const, 4>>);
static_assert(!std::is_convertible_v<mdspan_look_alike<float const, 4>, tensor_view<float, 4>>, "const stays const");
static_assert(!std::is_convertible_v<mdspan_look_alike<float, 3>, tensor_view<float, 4>>, "the rank is checked");
static_assert(!std::is_convertible_v<not_an_mdspan, tensor_view<float, 4>>);
static_assert(std::is_convertible_v<tensor_view<float, 4>, tensor_view<float const, 4>>);
static_assert(!std::is_convertible_v<tensor_view<float const, 4>, tensor_view<float, 4>>);
static_assert(!std::is_convertible_v<tensor_view<float, 4>, tensor_view<double, 4>>);
static_assert(!std::is_convertible_v<tensor_view<float, 3>, tensor_view<float, 4>>);

template <std::size_t Rank>
std::vector<std::int64_t> strides_of(tensor_view<int, Rank> const& v) {
  return {v.strides, v.strides + Rank};
}
template <std::size_t Rank>
std::vector<std::int64_t> extents_of(tensor_view<int, Rank> const& v) {
  return {v.extents, v.extents + Rank};
}

using list = std::vector<std::int64_t>;

TEST_CASE("factories index (batch, head, time, channel), whatever the memory order in their name") {
  std::vector<int> memory(2 * 3 * 5 * 7);
  for (std::size_t i = 0; i < memory.size(); ++i) {
    memory[i] = static_cast<int>(i);
  }
  auto const bthd = linattn::view_bthd(memory.data(), 2, 5, 3, 7);
  CHECK(extents_of(bthd) == list{2, 3, 5, 7});
  CHECK(strides_of(bthd) == list{5 * 3 * 7, 7, 3 * 7, 1});
  CHECK(bthd(1, 2, 4, 6) == ((1 * 5 + 4) * 3 + 2) * 7 + 6);

  auto const bhtd = linattn::view_bhtd(memory.data(), 2, 3, 5, 7);
  CHECK(extents_of(bhtd) == list{2, 3, 5, 7});
  CHECK(bhtd(1, 2, 4, 6) == ((1 * 3 + 2) * 5 + 4) * 7 + 6);

  auto const thd = linattn::view_thd(memory.data(), 10, 3, 7);
  CHECK(extents_of(thd) == list{1, 3, 10, 7});
  CHECK(thd(0, 2, 9, 6) == (9 * 3 + 2) * 7 + 6);

  auto const bth = linattn::view_bth(memory.data(), 2, 5, 3);
  CHECK(extents_of(bth) == list{2, 3, 5});
  CHECK(bth(1, 2, 4) == (1 * 5 + 4) * 3 + 2);

  auto const bht = linattn::view_bht(memory.data(), 2, 3, 5);
  CHECK(bht(1, 2, 4) == (1 * 3 + 2) * 5 + 4);
}

TEST_CASE("a view of given shape and strides keeps them, negative and zero ones too") {
  std::array<int, 6> memory{0, 1, 2, 3, 4, 5};
  tensor_view<int, 2> const backwards{memory.data() + 3, {2, 3}, {-3, 1}};
  CHECK(backwards(0, 0) == 3);
  CHECK(backwards(1, 2) == 2);
  tensor_view<int, 2> const repeated{memory.data(), {4, 3}, {0, 1}};
  CHECK(repeated(3, 2) == 2);
  CHECK(repeated.size() == 12);
}

TEST_CASE("a default-constructed view is absent and empty") {
  tensor_view<float, 4> const absent{};
  CHECK_FALSE(absent.present());
  CHECK(absent.size() == 0);
}

TEST_CASE("a const view is made from a mutable one, with the same memory and strides") {
  int memory[4] = {1, 2, 3, 4};
  tensor_view<int, 2> const v{memory, {2, 2}, {1, 2}};
  tensor_view<int const, 2> const c = v;
  CHECK(c.data == memory);
  CHECK(c(1, 0) == 2);
  CHECK(c(0, 1) == 3);
}

TEST_CASE("anything shaped like an mdspan converts, with its strides and any index type") {
  std::vector<float> memory(1000);
  mdspan_look_alike<float, 4> const m{memory.data(), {2, 3, 4, 5}, {60, 20, 5, 1}};
  tensor_view<float const, 4> const v = m;
  CHECK(v.data == memory.data());
  CHECK(v.extents[1] == 3);
  CHECK(v.strides[0] == 60);
  CHECK(v.strides[3] == 1);
}

TEST_CASE("sizes that overflow saturate instead of wrapping to something small") {
  constexpr std::int64_t huge = std::int64_t{1} << 40;
  auto const v = linattn::view_bthd(static_cast<int*>(nullptr), huge, huge, huge, huge);
  CHECK(v.size() == (std::numeric_limits<std::int64_t>::max)());
  CHECK(v.strides[0] == (std::numeric_limits<std::int64_t>::max)());
  tensor_view<int, 4> const row_major{nullptr, {huge, huge, huge, huge}};
  CHECK(row_major.strides[0] == (std::numeric_limits<std::int64_t>::max)());
}

TEST_CASE("parameters are views of rank 1 or 2, spans, or absent") {
  std::vector<float> memory(6);
  for (int i = 0; i < 6; ++i) {
    memory[static_cast<std::size_t>(i)] = static_cast<float>(i);
  }
  linattn::parameter_view<float const> const from_span = std::span<float>(memory);
  CHECK(from_span.heads == 0);
  CHECK(from_span.size == 6);
  CHECK(from_span(5, 2) == 2);  // every head reads the one row

  linattn::parameter_view<float const> const rank_1 = tensor_view<float, 1>{memory.data(), {3}, {2}};
  CHECK(rank_1.heads == 0);
  CHECK(rank_1.size == 3);
  CHECK(rank_1(7, 2) == 4);

  linattn::parameter_view<float> const rank_2 = tensor_view<float, 2>{memory.data(), {2, 3}};
  CHECK(rank_2.heads == 2);
  CHECK(rank_2(1, 2) == 5);
  linattn::parameter_view<float const> const read_only = rank_2;
  CHECK(read_only(1, 0) == 3);

  CHECK_FALSE(linattn::parameter_view<float>{}.present());
  static_assert(!std::is_convertible_v<std::span<float const>, linattn::parameter_view<float>>, "const stays const");
}

}  // namespace
