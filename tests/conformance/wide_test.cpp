// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forward of Based's map against the oracle at a head_dim whose state fills a cache.
#include "conform.hpp"

namespace linattn_test {
namespace {

TEST_CASE("taylor at head_dim 64 equals the O(T^2) oracle in every strategy, element type, layout and state") {
  visit_wide([](auto... line) { conform<true>(line...); });
}

}  // namespace
}  // namespace linattn_test
