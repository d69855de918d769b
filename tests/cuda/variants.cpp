// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The variants of one family, LINATTN_TEST_FAMILY, on CUDA, tuned by LINATTN_TEST_SELECTOR: compiled once for each
// library of CMakeLists.txt. Of its strategies the first LINATTN_TEST_STRATEGIES; those after the third launch what
// others do.
#include "support/variants.hpp"

#include "on_cuda.hpp"
#include "support/verbs.hpp"

#include <algorithm>

#if !defined(LINATTN_TEST_STRATEGIES)
#define LINATTN_TEST_STRATEGIES linattn_test::strategy_count
#endif

namespace linattn_test {
namespace {

/// A map of each way to be carried out: fused, prepared in registers, prepared before, in phases through its hooks.
template <class Visit>
[[maybe_unused]] void visit_few_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<16>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(
      map_tag<maps::rebased_norm>{}, dims<3>, sum,
      recipe{
          "rebased", preparation::layer_norm, {0, 0, 1, 0}, {.gamma = true, .beta = true, .rank = 1, .shared = false}});
  visit(map_tag<maps::rebased_joint>{}, dims<8>, sum,
        recipe{"rebased over all heads",
               preparation::layer_norm_all_heads,
               {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 2, .shared = false}});
  constexpr bool double_alone = LINATTN_TEST_ELEMENTS == 8;  // the cubic's hooks are of float
  if constexpr (double_alone) {
    visit(map_tag<maps::elu_plus_one>{}, dims<20, 33>, sum,
          recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
  } else {
    visit(map_tag<maps::user_cubic>{}, dims<3>, unnormalized,
          recipe{"user's cubic", preparation::as_is, {0, 0, 0, 1}, {}, true});
  }
}

/// Fused, by one group of warps and by four.
template <class Visit>
[[maybe_unused]] void visit_small_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<3>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(map_tag<maps::power>{}, dims<17>, sum, recipe{"power", preparation::scaled, {0, 0, 1, 0}});
}

/// The same, and in phases.
template <class Visit>
[[maybe_unused]] void visit_forms_family(Visit&& visit) {
  visit_small_family(visit);
  visit(map_tag<maps::user_cubic>{}, dims<3>, unnormalized,
        recipe{"user's cubic", preparation::as_is, {0, 0, 0, 1}, {}, true});
}

/// In phases: rows that are prepared before, as they are long or over all heads; a user's hooks.
template <class Visit>
[[maybe_unused]] void visit_rare_family(Visit&& visit) {
  visit(map_tag<maps::elu_plus_one>{}, dims<33>, sum, recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
  visit(map_tag<maps::rebased_joint>{}, dims<8>, sum,
        recipe{"rebased over all heads",
               preparation::layer_norm_all_heads,
               {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 2, .shared = false}});
  visit(map_tag<maps::user_cubic>{}, dims<4>, unnormalized,
        recipe{"user's cubic", preparation::as_is, {0, 0, 0, 1}, {}, true});
}

/// Fused, rows of 17 to 32: by four groups of warps, the last block has one dim or all; without pairs, by one.
template <class Visit>
[[maybe_unused]] void visit_groups_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<25>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(
      map_tag<maps::rebased_norm>{}, dims<32>, sum,
      recipe{
          "rebased", preparation::layer_norm, {0, 0, 1, 0}, {.gamma = true, .beta = true, .rank = 1, .shared = false}});
  visit(map_tag<maps::elu_plus_one>{}, dims<20>, sum, recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
}

/// Small ones whose gradients have all terms, those of parameters too.
template <class Visit>
[[maybe_unused]] void visit_learnable_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<3>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(
      map_tag<maps::rebased_norm>{}, dims<3>, sum,
      recipe{
          "rebased", preparation::layer_norm, {0, 0, 1, 0}, {.gamma = true, .beta = true, .rank = 2, .shared = false}});
  visit(map_tag<maps::rebased_joint>{}, dims<2>, sum,
        recipe{"rebased over all heads",
               preparation::layer_norm_all_heads,
               {0, 0, 1, 0},
               {.gamma = true, .beta = true, .rank = 1, .shared = true}});
}

}  // namespace

std::vector<variant> const& variants() {
  static std::vector<variant> const list = [] {
    auto some = make_variants<on_cuda<LINATTN_TEST_SELECTOR>>([](auto&& visit) { LINATTN_TEST_FAMILY(visit); });
    for (variant& v : some) {
      for (auto& of_element : v.table) {
        std::fill(of_element + LINATTN_TEST_STRATEGIES, of_element + strategy_count, verb_table{});
      }
    }
    return some;
  }();
  return list;
}

}  // namespace linattn_test
