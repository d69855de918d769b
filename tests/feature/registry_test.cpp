// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every map of the registry keeps the law, at every head_dim that it is tested at. What a broken map looks like is in
// laws_test.cpp.
#include "support/registry.hpp"

#include <doctest/doctest.h>

#include <linattn/feature/laws.hpp>

TEST_CASE("every map of the registry keeps the law, and its derivatives are those of its hooks") {
  int maps = 0;
  linattn_test::visit_all_maps([&](auto map, auto head_dims, auto /*normalizer*/, linattn_test::recipe const& recipe) {
    linattn_test::for_each_head_dim(head_dims, [&](auto head_dim) {
      using map_type = typename decltype(map)::template type<head_dim.value, double>;
      linattn::diagnostic const report = linattn::check_feature_map(map_type{}, {.heads = 4, .kv_heads = 2});
      CAPTURE(recipe.name);
      CAPTURE(head_dim.value);
      INFO(report.message());
      CHECK(report.ok());
      ++maps;
    });
  });
  CHECK(maps >= 20);
}
