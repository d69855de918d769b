// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every variant against the oracle, over a table of cases in which each two values of the axes meet: strategy, element
// type, length, value_dim, heads, memory order, states and their layouts, mask, packed sequences, normalizer's eps.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <string>

namespace linattn_test {
namespace {

table_limits limits_of(variant const& v) {
  table_limits limits{};
  if (v.head_dim > 32) {  // the oracle's time
    limits.longest = 70;
    limits.widest = 16;
  }
  return limits;
}

TEST_CASE("forward equals the O(T^2) oracle in every strategy, element type, layout and state") {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (test_case const& c : cases_of(v, limits_of(v), 1000 + static_cast<std::uint64_t>(v.head_dim))) {
      std::string const strategy = strategy_name(c.strategy);
      std::string const element = element_name(c.element);
      CAPTURE(strategy);
      CAPTURE(element);
      CAPTURE(c.axes);
      problem const p = make_problem(v.map, v.head_dim, v.normalized, c.axes, c.element);
      forward_run run(v, c.axes, p, c.element);
      REQUIRE_NOTHROW(run.run(c.strategy));
      run.check(oracle_forward(p));
    }
  }
}

}  // namespace
}  // namespace linattn_test
