// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The checks on single views and pairs of views: distinct elements, overlap, footprints. What the verbs make of them is in
// tests/reject.
#include <linattn/core/validate.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace {

using linattn::tensor_view;
using linattn::detail::erase;
using linattn::detail::erased_view;

bool output_accepted(tensor_view<float, 4> const& v) {
  linattn::diagnostic report("forward");
  return linattn::detail::check_output(report, erase("out", v));
}

/// Every offset that a view reaches, the long way.
std::multiset<std::int64_t> offsets_of(tensor_view<float, 4> const& v, std::int64_t base) {
  std::multiset<std::int64_t> offsets;
  for (std::int64_t a = 0; a < v.extents[0]; ++a) {
    for (std::int64_t b = 0; b < v.extents[1]; ++b) {
      for (std::int64_t c = 0; c < v.extents[2]; ++c) {
        for (std::int64_t d = 0; d < v.extents[3]; ++d) {
          offsets.insert(base + a * v.strides[0] + b * v.strides[1] + c * v.strides[2] + d * v.strides[3]);
        }
      }
    }
  }
  return offsets;
}

bool has_duplicates(std::multiset<std::int64_t> const& offsets) {
  return std::set<std::int64_t>(offsets.begin(), offsets.end()).size() != offsets.size();
}

bool share_an_element(std::multiset<std::int64_t> const& a, std::multiset<std::int64_t> const& b) {
  for (std::int64_t offset : a) {
    if (b.count(offset) != 0) {
      return true;
    }
  }
  return false;
}

TEST_CASE("outputs whose dimensions nest are accepted, in any order of strides and with gaps") {
  float memory[1000];
  CHECK(output_accepted(linattn::view_bthd(memory, 2, 3, 4, 5)));
  CHECK(output_accepted(linattn::view_bhtd(memory, 2, 3, 4, 5)));
  CHECK(output_accepted({memory, {2, 3, 4, 5}, {200, 60, 12, 1}}));
  CHECK(output_accepted({memory + 60, {2, 3, 4, 5}, {100, 20, -5, 1}}));
  CHECK(output_accepted({memory, {1, 1, 4, 5}, {0, 0, 5, 1}}));  // a stride of an extent of 1 is never taken
  CHECK(output_accepted({memory, {0, 3, 4, 5}, {0, 0, 0, 1}}));
}

TEST_CASE("outputs that write an element twice are refused") {
  float memory[1000];
  CHECK_FALSE(output_accepted({memory, {2, 3, 4, 5}, {60, 0, 5, 1}}));
  CHECK_FALSE(output_accepted({memory, {2, 3, 4, 5}, {60, 20, 4, 1}}));
  CHECK_FALSE(output_accepted({memory, {2, 3, 4, 5}, {20, 20, 5, 1}}));
}

TEST_CASE("whatever check_output and disjoint accept holds element by element, for thousands of small views") {
  std::vector<float> memory(4000);
  std::uint64_t state = 1;
  auto const below = [&](std::int64_t n) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::int64_t>((state >> 33U) % static_cast<std::uint64_t>(n));
  };
  int accepted = 0;
  int apart = 0;
  auto const random_view = [&](std::int64_t base) {
    tensor_view<float, 4> v{memory.data() + base, {1 + below(3), 1 + below(3), 1 + below(3), 1 + below(4)}};
    for (int i = 0; i < 3; ++i) {
      std::int64_t const menu[] = {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 36, 48, -4, -12, below(60)};
      v.strides[i] = menu[below(15)];
    }
    v.strides[3] = 1;
    return v;
  };
  for (int trial = 0; trial < 20000; ++trial) {
    std::int64_t const a_base = 1000 + below(60);
    std::int64_t const b_base = 1000 + below(60);
    tensor_view<float, 4> const a = random_view(a_base);
    tensor_view<float, 4> b = random_view(b_base);
    if (trial % 2 == 0) {
      for (int i = 0; i < 4; ++i) {
        b.strides[i] = a.strides[i];  // slices of one fused tensor
      }
    }
    auto const a_offsets = offsets_of(a, a_base);
    if (output_accepted(a)) {
      ++accepted;
      REQUIRE_FALSE(has_duplicates(a_offsets));
    }
    if (linattn::detail::disjoint(erase("a", a), erase("b", b))) {
      ++apart;
      REQUIRE_FALSE(share_an_element(a_offsets, offsets_of(b, b_base)));
    }
  }
  CHECK(accepted > 1000);  // the trials met what they are for
  CHECK(apart > 1000);
}

TEST_CASE("the slices of a fused tensor are apart, and views that touch one element are not") {
  std::vector<float> fused(1000);
  auto const slice = [&](std::int64_t channel, std::int64_t heads, std::int64_t size) {
    return erase("x", tensor_view<float, 4>{fused.data() + channel, {2, heads, 5, size}, {5 * 32, size, 32, 1}});
  };
  CHECK(linattn::detail::disjoint(slice(0, 2, 8), slice(16, 1, 8)));
  CHECK(linattn::detail::disjoint(slice(16, 1, 8), slice(24, 1, 8)));
  CHECK_FALSE(linattn::detail::disjoint(slice(0, 2, 8), slice(15, 1, 8)));
  CHECK_FALSE(linattn::detail::disjoint(slice(16, 1, 8), slice(16, 1, 8)));
  auto const front = linattn::view_bthd(fused.data(), 1, 10, 1, 8);
  auto const back = linattn::view_bthd(fused.data() + 80, 1, 10, 1, 8);
  auto const touching = linattn::view_bthd(fused.data() + 79, 1, 10, 1, 8);
  CHECK(linattn::detail::disjoint(erase("a", front), erase("b", back)));
  CHECK_FALSE(linattn::detail::disjoint(erase("a", front), erase("b", touching)));
}

TEST_CASE("footprints that leave the address space are overflows, not small numbers") {
  constexpr std::int64_t huge = std::int64_t{1} << 61;
  float memory[8];
  for (auto const& v : {tensor_view<float, 4>{memory, {1, 1, huge, 4}, {0, 0, 4, 1}},
                        tensor_view<float, 4>{memory, {huge, huge, huge, 4}, {0, 0, 0, 1}},
                        tensor_view<float, 4>{memory, {2, 1, 2, 4}, {0, 0, huge * 2, 1}},
                        tensor_view<float, 4>{memory, {2, 1, 2, 4}, {(std::numeric_limits<std::int64_t>::min)(), 0, 4, 1}}}) {
    linattn::diagnostic report("forward");
    CHECK_FALSE(linattn::detail::check_view(report, erase("q", v)));
    CHECK(std::string(report.message()).find("linattn::forward: q overflows") == 0);
  }
}

}  // namespace
