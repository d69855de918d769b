// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forward of the other polynomial maps against the oracle.
#include "conform.hpp"

namespace linattn_test {
namespace {

TEST_CASE("power and polynomial maps equal the O(T^2) oracle in every strategy, element type, layout and state") {
  visit_polynomial([](auto... line) { conform<true>(line...); });
}

}  // namespace
}  // namespace linattn_test
