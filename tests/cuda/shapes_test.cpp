// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Shapes beyond the conformance table's, where kernels go round a loop once more: many query heads of one key head, more
// than two tiles of values; and single steps by themselves, with the bound of plain arithmetic.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace linattn_test {
namespace {

using linattn::element_kind;

/// chunkwise<>, parallel, recurrent, automatic; those after them launch the same kernels.
#if !defined(LINATTN_TESTED_STRATEGIES)
#define LINATTN_TESTED_STRATEGIES 4
#endif
constexpr int tested_strategies = LINATTN_TESTED_STRATEGIES;

std::vector<setup> wide_setups(std::int64_t time) {
  setup const grouped{.heads = 9, .kv_heads = 1, .time = time, .value_dim = 20, .state = state_use::in_place};
  setup const tiled{.batch = 2, .heads = 10, .kv_heads = 2, .time = time, .value_dim = 3, .tiled = true,
                    .order = memory_order::bhtd, .state = state_use::pool,
                    .layout = linattn::state_layout::value_major};
  setup const values{.heads = 2, .kv_heads = 1, .time = time, .value_dim = 150, .state = state_use::in_place};
  return {grouped, tiled, values};
}

TEST_CASE("groups of many queries and many values equal the oracle in every strategy") {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (setup s : wide_setups(19)) {
      s.save_denominator = true;
      for (bool const causal : {true, false}) {
        s.causal = causal;
        CAPTURE(s);
        for (element_kind const kind : {element_kind::float32, element_kind::float16}) {
          problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
          forward_result const want = oracle_forward(p);
          for (int strategy = 0; strategy < tested_strategies; ++strategy) {
            std::string const name = std::string(strategy_name(strategy)) + ", " + element_name(kind);
            CAPTURE(name);
            forward_run run(v, s, p, kind);
            REQUIRE_NOTHROW(run.run(strategy));
            run.check(want);
          }
        }
      }
    }
  }
}

/// Rows of values that are whole pieces of 16 bytes, in two tiles; and a group of queries that is no multiple of four.
setup tiles_of_whole_pieces() {
  return {.batch = 2, .heads = 5, .kv_heads = 1, .time = 1, .value_dim = 72, .state = state_use::in_place};
}

TEST_CASE("a step equals the oracle, within the bound of plain arithmetic") {
  std::vector<setup> setups = wide_setups(1);
  setups.push_back(tiles_of_whole_pieces());
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (setup const& s : setups) {
      CAPTURE(s);
      for (element_kind const kind : {element_kind::float32, element_kind::float16}) {
        std::string const element = element_name(kind);
        CAPTURE(element);
        problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
        forward_run run(v, s, p, kind);
        verb_table const& verbs = v.verbs(0, kind);
        run.operand = verbs.step_operand;
        CHECK(run.operand == 0);
        REQUIRE_NOTHROW(verbs.step(run.arguments()));
        run.check(oracle_forward(p));
      }
    }
  }
}

TEST_CASE("a step has the same bits whichever way the state lies") {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (std::int64_t const value_dim : {72, 70}) {
      setup s = tiles_of_whole_pieces();
      s.value_dim = value_dim;
      CAPTURE(s);
      auto const kind = element_kind::float32;
      problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
      forward_run by_features(v, s, p, kind);
      v.verbs(0, kind).step(by_features.arguments());
      s.layout = linattn::state_layout::value_major;
      forward_run by_values(v, s, p, kind);
      v.verbs(0, kind).step(by_values.arguments());
      CHECK(by_features.out.gather() == by_values.out.gather());
      CHECK(by_features.first.kv() == by_values.first.kv());
      CHECK(by_features.first.k_sum() == by_values.first.k_sum());
    }
  }
}

}  // namespace
}  // namespace linattn_test
