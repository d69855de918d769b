// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The variants of one family, LINATTN_TEST_FAMILY, on CUDA, tuned by LINATTN_TEST_SELECTOR: compiled once for each library
// of CMakeLists.txt.
#include "support/variants.hpp"

#include "on_cuda.hpp"
#include "support/verbs.hpp"

namespace linattn_test {
namespace {

/// Two maps for choices that all maps share.
template <class Visit>
[[maybe_unused]] void visit_few_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<16>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(map_tag<maps::rebased_norm>{}, dims<3>, sum,
        recipe{"rebased", preparation::layer_norm, {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 1, .shared = false}});
}

}  // namespace

std::vector<variant> const& variants() {
  static std::vector<variant> const list =
      make_variants<on_cuda<LINATTN_TEST_SELECTOR>>([](auto&& visit) { LINATTN_TEST_FAMILY(visit); });
  return list;
}

}  // namespace linattn_test
