// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The variants of one family, LINATTN_TEST_FAMILY: compiled once for each, see CMakeLists.txt.
#include "support/variants.hpp"

#include "support/verbs.hpp"

#include <stdexcept>
#include <string>

namespace linattn_test {

std::vector<variant> const& variants() {
  static std::vector<variant> const list = make_variants([](auto&& visit) { LINATTN_TEST_FAMILY(visit); });
  return list;
}

variant const& variant_named(char const* name, int head_dim) {
  for (variant const& v : variants()) {
    if (v.head_dim == head_dim && std::string(v.map.name) == name) {
      return v;
    }
  }
  throw std::invalid_argument(std::string("no variant is called ") + name);
}

}  // namespace linattn_test
