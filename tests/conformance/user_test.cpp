// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forward of a user's own maps against the oracle: hooks for float alone, generic features, no derivatives.
#include "conform.hpp"

namespace linattn_test {
namespace {

TEST_CASE("a user's maps equal the O(T^2) oracle in every strategy, layout and state, and serve 16-bit elements too") {
  visit_user([](auto... line) { conform<false>(line...); });
}

}  // namespace
}  // namespace linattn_test
