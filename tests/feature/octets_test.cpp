// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotation octets by themselves: groups of warps take every product of two coordinates as often as the list of octets has
// it, and an octet's number leads back to it.
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/feature/taylor.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <type_traits>

namespace {

using linattn::detail::octet;
using linattn::detail::octet_kind;

/// How often each product is there: {kind, low, high}; pairs of shift 4 are listed twice.
using products = std::map<std::array<int, 3>, int>;

void add(products& all, octet const& o) {
  for (int g = 0; g < 8; ++g) {
    int const i = 8 * o.a + g;
    int const j = o.kind == octet_kind::pairs ? 8 * o.b + (g + o.shift) % 8 : i;
    if (o.kind != octet_kind::none) {
      ++all[{static_cast<int>(o.kind), std::min(i, j), std::max(i, j)}];
    }
  }
}

TEST_CASE_TEMPLATE("groups share all octets, and an octet's number leads back to it", Dim, std::integral_constant<int, 5>,
                   std::integral_constant<int, 16>, std::integral_constant<int, 17>, std::integral_constant<int, 32>) {
  using groups = linattn::detail::octet_groups<linattn::taylor<Dim::value>>;
  using list = typename groups::list;
  constexpr int dim = groups::shared ? 32 : 8 * list::blocks;
  products taken;
  for (int group = 0; group < groups::groups; ++group) {
    for (int n = 0; n < groups::octets; ++n) {
      octet const own = groups::at(n);
      if (own.kind == octet_kind::pairs) {
        CHECK(groups::number(own.a, own.b, own.shift) == n);
      }
      if (own.kind != octet_kind::constant || group == 0) {
        add(taken, groups::of(group, n));
      }
    }
  }
  for (int i = 0; i < dim; ++i) {
    CAPTURE(i);
    CHECK(taken[{static_cast<int>(octet_kind::linear), i, i}] == 1);
    for (int j = i; j < dim; ++j) {
      CAPTURE(j);
      bool const twice = i / 8 == j / 8 && j - i == 4;
      CHECK(taken[{static_cast<int>(octet_kind::pairs), i, j}] == (twice ? 2 : 1));
    }
  }
  CHECK(groups::number(1, 2, 0) == -1);
  CHECK(groups::number(1, 0, 0) == -1);
}

TEST_CASE_TEMPLATE("a packed pair of coordinates is found without a table", Dim, std::integral_constant<int, 1>,
                   std::integral_constant<int, 2>, std::integral_constant<int, 3>, std::integral_constant<int, 16>,
                   std::integral_constant<int, 33>, std::integral_constant<int, 64>, std::integral_constant<int, 128>,
                   std::integral_constant<int, 257>) {
  using packed = typename linattn::taylor<Dim::value>::packed;
  int n = 0;
  for (int i = 0; i < Dim::value; ++i) {
    for (int j = i; j < Dim::value; ++j, ++n) {
      CAPTURE(n);
      auto const is_pair = [&](auto const& pair) { return pair.first == i && pair.second == j; };
      CHECK(is_pair(packed::pair_by_root(n)));
      for (int row = i - 1; row <= i + 1; ++row) {  // a device's root is not exact
        CHECK(is_pair(packed::pair_near(n, row)));
      }
    }
  }
}

}  // namespace
