// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every gradient of every variant against the oracle's formulas, over a table of cases in which each two values of the
// axes meet; outputs saved by forward or computed again.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <string>

namespace linattn_test {
namespace {

TEST_CASE("all gradients equal the oracle's in every strategy, element type, layout and state") {
  for (variant const& v : variants()) {
    CAPTURE(v);
    CHECK(v.map.differentiable == v.has_backward());
    if (!v.map.differentiable) {
      continue;
    }
    bool const wide = v.head_dim > 32;  // the oracle's time
    table_limits const limits{.longest = wide ? 17 : 70, .widest = wide ? 3 : 65, .doubles = true};
    for (test_case const& c : cases_of(v, limits, 2000 + static_cast<std::uint64_t>(v.head_dim))) {
      std::string const strategy = strategy_name(c.strategy);
      std::string const element = element_name(c.element);
      CAPTURE(strategy);
      CAPTURE(element);
      CAPTURE(c.axes);
      problem const p = make_problem(v.map, v.head_dim, v.normalized, c.axes, c.element, true);
      backward_run run(v, c.axes, p, c.element);
      REQUIRE_NOTHROW(run.run(c.strategy));
      run.check();
    }
  }
}

}  // namespace
}  // namespace linattn_test
