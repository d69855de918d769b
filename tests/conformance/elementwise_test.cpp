// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forward of the elementwise maps against the oracle, with a normalizer and without one.
#include "conform.hpp"

namespace linattn_test {
namespace {

TEST_CASE("elementwise maps equal the O(T^2) oracle in every strategy, element type, layout and state") {
  visit_elementwise([](auto... line) { conform<true>(line...); });
}

}  // namespace
}  // namespace linattn_test
