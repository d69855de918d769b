// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// covering_rows: a table in which every pair of values of every two axes meets in at least one row. Greedy, seeded, the
// same on every machine; rows number little more than the product of the two largest axes.
#ifndef LINATTN_TESTS_SUPPORT_COVERING_HPP
#define LINATTN_TESTS_SUPPORT_COVERING_HPP

#include <cstdint>
#include <vector>

namespace linattn_test {

/// sizes[a] is the number of values of axis a; a row holds one index an axis.
std::vector<std::vector<int>> covering_rows(std::vector<int> const& sizes, std::uint64_t seed);

}  // namespace linattn_test

#endif
