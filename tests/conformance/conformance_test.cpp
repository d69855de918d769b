// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every variant against the oracle, over a table of cases in which each two values of the axes meet: strategy, element
// type, length, value_dim, heads, memory order, states and their layouts, mask, packed sequences, normalizer's eps.
#include "support/run.hpp"

#include <doctest/doctest.h>

namespace linattn_test {
namespace {

TEST_CASE("forward equals the O(T^2) oracle in every strategy, element type, layout and state") {
  for_each_forward_case(1000, [](test_case const& c, problem const& p, forward_run& run) {
    REQUIRE_NOTHROW(run.run(c.strategy));
    run.check(oracle_forward(p));
  });
}

}  // namespace
}  // namespace linattn_test
