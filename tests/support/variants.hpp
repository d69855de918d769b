// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// variant: a line of the registry at one head_dim, compiled in every strategy and element type, for tests that know no
// types. Which variants there are is a matter of linking: a library linattn_test_<family> has those of one family.
#ifndef LINATTN_TESTS_SUPPORT_VARIANTS_HPP
#define LINATTN_TESTS_SUPPORT_VARIANTS_HPP

#include "support/axes.hpp"
#include "support/call.hpp"
#include "support/recipe.hpp"

#include <linattn/core/element.hpp>

#include <cstdint>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace linattn_test {

/// Every map has float in every strategy, and every element type in chunkwise<>; some have all combinations. Where the
/// library has been compiled for some element types only, the others are null.
struct variant {
  recipe map{};
  int head_dim = 1;
  int feature_dim = 1;
  bool normalized = true;
  verb_table table[element_count][strategy_count];

  [[nodiscard]] verb_table const& verbs(int strategy, linattn::element_kind element) const;
  /// Of all strategies: see verb_table.
  [[nodiscard]] double coarsest_operand(linattn::element_kind element) const;
  [[nodiscard]] bool serves_doubles() const { return table[3][0].forward != nullptr; }
  /// In chunkwise<>, in each element type that there is.
  [[nodiscard]] bool has_backward() const;
};

std::ostream& operator<<(std::ostream& stream, variant const& v);

/// Of the family that this executable is linked with.
std::vector<variant> const& variants();
/// The one of that name and head_dim; throws if there is none.
inline variant const& variant_named(char const* name, int head_dim) {
  for (variant const& v : variants()) {
    if (v.head_dim == head_dim && std::string(v.map.name) == name) {
      return v;
    }
  }
  throw std::invalid_argument(std::string("no variant is called ") + name);
}

/// The table of cases for a variant. Where it lacks a combination of strategy and element type, two cases stand for it:
/// one with float, one with chunkwise<>. Rows of an element type that the library is without are left out.
std::vector<test_case> cases_of(variant const& v, table_limits limits, std::uint64_t seed);

}  // namespace linattn_test

#endif
