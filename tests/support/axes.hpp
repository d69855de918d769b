// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The axes of the conformance and gradient tests, and the table of cases in which each two of their values meet.
#ifndef LINATTN_TESTS_SUPPORT_AXES_HPP
#define LINATTN_TESTS_SUPPORT_AXES_HPP

#include "support/setup.hpp"

#include <linattn/core/element.hpp>

#include <cstdint>
#include <vector>

namespace linattn_test {

/// A strategy in a case is its place in the list of names.
inline constexpr int strategy_count = 6;
char const* strategy_name(int index);

inline constexpr int element_count = 4;
inline constexpr linattn::element_kind element_kinds[element_count] = {
    linattn::element_kind::float32, linattn::element_kind::bfloat16, linattn::element_kind::float16,
    linattn::element_kind::float64};
int element_index(linattn::element_kind kind);
char const* element_name(linattn::element_kind kind);

/// One row of the table.
struct test_case {
  int strategy = 0;
  linattn::element_kind element = linattn::element_kind::float32;
  setup axes{};
};

/// What bounds a table: large tensors cost the oracle's time.
struct table_limits {
  std::int64_t longest = 130;
  std::int64_t widest = 80;
  bool doubles = true;
};

std::vector<test_case> case_table(table_limits const& limits, std::uint64_t seed);

}  // namespace linattn_test

#endif
