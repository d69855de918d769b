// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// state_view and host_state: typed by their map, both layouts index alike, zero sizes are legal. No engine runs here.
#include <linattn/feature/identity.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/state.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <type_traits>
#include <utility>

namespace {

using linattn::host_state;
using linattn::state_layout;
using linattn::state_view;
using taylor = linattn::taylor<16>;
using rebased = linattn::rebased<16>;

// The map is part of the type: no state converts to that of another map, or of another real type.
static_assert(!std::is_convertible_v<state_view<taylor>, state_view<rebased>>);
static_assert(!std::is_convertible_v<state_view<taylor>, state_view<linattn::taylor<8>>>);
static_assert(!std::is_convertible_v<state_view<linattn::power<16>>, state_view<rebased>>, "s^2 both, and yet apart");
static_assert(!std::is_convertible_v<state_view<rebased>, state_view<linattn::rebased<16, linattn::normalize::none>>>);
static_assert(!std::is_convertible_v<state_view<taylor, double>, state_view<taylor, float>>);
static_assert(std::is_convertible_v<state_view<taylor>, state_view<taylor, float const>>, "what is written can be read");
static_assert(!std::is_convertible_v<state_view<taylor, float const>, state_view<taylor>>, "const stays const");
static_assert(std::is_same_v<decltype(std::declval<host_state<taylor> const&>().view()), state_view<taylor, float const>>);

// The packed sizes of the documentation.
static_assert(taylor::feature_dim == 153 && rebased::feature_dim == 136 && linattn::identity<16>::feature_dim == 16);

TEST_CASE("a fresh state is zero in both layouts, and clear makes it so again") {
  for (state_layout layout : {state_layout::feature_major, state_layout::value_major}) {
    host_state<taylor> state(2, 3, 5, layout);
    CHECK(state.layout() == layout);
    CHECK(state.kv_data().size() == std::size_t{2 * 3 * 153 * 5});
    CHECK(state.k_sum_data().size() == std::size_t{2 * 3 * 153});
    CHECK(state.size_bytes() == std::size_t{2 * 3 * 153 * 6} * sizeof(float));
    state.view().kv(1, 2, 152, 4) = 7;
    state.view().k_sum(1, 2, 152) = 8;
    CHECK(state.kv_data().back() == 7);
    CHECK(state.k_sum_data().back() == 8);
    state.clear();
    CHECK(state.kv_data().back() == 0);
    CHECK(state.k_sum_data().back() == 0);
  }
}

TEST_CASE("both layouts index (slot, head, feature, value) and reach every number once") {
  for (state_layout layout : {state_layout::feature_major, state_layout::value_major}) {
    host_state<linattn::identity<4>, double> state(2, 3, 5, layout);
    auto const view = state.view();
    std::set<double const*> seen;
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t g = 0; g < 3; ++g) {
        for (std::int64_t f = 0; f < 4; ++f) {
          for (std::int64_t e = 0; e < 5; ++e) {
            seen.insert(&view.kv(n, g, f, e));
          }
        }
      }
    }
    CHECK(seen.size() == state.kv_data().size());
    CHECK(*seen.begin() == state.kv_data().data());
    bool const feature_major = layout == state_layout::feature_major;
    CHECK(&view.kv(0, 0, 1, 0) - &view.kv(0, 0, 0, 0) == (feature_major ? 5 : 1));
    CHECK(&view.kv(0, 0, 0, 1) - &view.kv(0, 0, 0, 0) == (feature_major ? 1 : 4));
  }
}

TEST_CASE("states of no batch, no head and no value exist and are empty") {
  CHECK(host_state<taylor>(0, 3, 5).size_bytes() == 0);
  CHECK(host_state<taylor>(2, 0, 5).size_bytes() == 0);
  host_state<taylor> const no_values(2, 3, 0);
  CHECK(no_values.kv_data().empty());
  CHECK(no_values.k_sum_data().size() == std::size_t{2 * 3 * 153});
}

TEST_CASE("a default-constructed view is absent, and either part makes it present") {
  state_view<taylor> view;
  CHECK_FALSE(view.present());
  float number = 0;
  view.k_sum.data = &number;
  CHECK(view.present());
}

}  // namespace
