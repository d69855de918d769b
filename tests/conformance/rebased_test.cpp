// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forward of ReBased against the oracle: its norms, its ablations, parameters of both ranks, shared and separate.
#include "conform.hpp"

namespace linattn_test {
namespace {

TEST_CASE("rebased equals the O(T^2) oracle with every norm and set of parameters") {
  visit_rebased([](auto... line) { conform<true>(line...); });
}

}  // namespace
}  // namespace linattn_test
