// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The variants of one family, LINATTN_TEST_FAMILY: compiled once for each, see CMakeLists.txt.
#include "support/variants.hpp"

#include "support/verbs.hpp"

namespace linattn_test {

std::vector<variant> const& variants() {
  static std::vector<variant> const list = make_variants<on_cpu>([](auto&& visit) { LINATTN_TEST_FAMILY(visit); });
  return list;
}

}  // namespace linattn_test
