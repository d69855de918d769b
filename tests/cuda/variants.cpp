// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The variants of one family, LINATTN_TEST_FAMILY, on CUDA, tuned by LINATTN_TEST_SELECTOR: compiled once for each library
// of CMakeLists.txt.
#include "support/variants.hpp"

#include "on_cuda.hpp"
#include "support/verbs.hpp"

namespace linattn_test {
namespace {

/// A map of each way to be carried out: fused, prepared in registers, prepared before, in phases.
template <class Visit>
[[maybe_unused]] void visit_few_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<16>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(map_tag<maps::rebased_norm>{}, dims<3>, sum,
        recipe{"rebased", preparation::layer_norm, {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 1, .shared = false}});
  visit(map_tag<maps::rebased_joint>{}, dims<8>, sum,
        recipe{"rebased over all heads", preparation::layer_norm_all_heads, {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 2, .shared = false}});
  visit(map_tag<maps::elu_plus_one>{}, dims<20>, sum,
        recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
}

/// Small ones of different forms: fused, in phases.
template <class Visit>
[[maybe_unused]] void visit_small_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<3>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(map_tag<maps::elu_plus_one>{}, dims<20>, sum,
        recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
}

}  // namespace

std::vector<variant> const& variants() {
  static std::vector<variant> const list =
      make_variants<on_cuda<LINATTN_TEST_SELECTOR>>([](auto&& visit) { LINATTN_TEST_FAMILY(visit); });
  return list;
}

}  // namespace linattn_test
