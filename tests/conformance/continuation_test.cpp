// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A sequence in pieces: prefill, a continued forward and single steps through one state give what the oracle says of the
// whole sequence.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace linattn_test {
namespace {

TEST_CASE("prefill, a continued forward and steps give the outputs and the state of the whole sequence") {
  setup cases[4];
  cases[0] = {.batch = 2, .heads = 2, .kv_heads = 2, .time = 40, .value_dim = 16, .state = state_use::in_place};
  cases[1] = {.batch = 3, .heads = 4, .kv_heads = 2, .time = 40, .value_dim = 65, .tiled = true,
              .order = memory_order::bhtd, .state = state_use::pool, .layout = linattn::state_layout::value_major};
  cases[2] = {.heads = 3, .kv_heads = 1, .time = 40, .value_dim = 80, .order = memory_order::sliced,
              .state = state_use::pool};
  cases[3] = {.batch = 2, .heads = 1, .kv_heads = 1, .time = 40, .value_dim = 1, .order = memory_order::reversed,
              .state = state_use::in_place, .layout = linattn::state_layout::value_major};
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (setup const& s : cases) {
      CAPTURE(s);
      if (v.head_dim > 32 && s.value_dim > 16) {
        continue;  // the oracle's time
      }
      for (linattn::element_kind const kind : element_kinds) {
        problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
        forward_result const want = oracle_forward(p);
        for (int strategy = 0; strategy < strategy_count; ++strategy) {
          verb_table const& verbs = v.verbs(strategy, kind);
          if (verbs.forward == nullptr) {
            continue;
          }
          std::string const name = std::string(strategy_name(strategy)) + ", " + element_name(kind);
          CAPTURE(name);
          forward_run run(v, s, p, kind);
          call const whole = run.arguments();
          auto const piece = [&](std::int64_t begin, std::int64_t count) {
            std::size_t const bytes = run.q.memory().element_bytes();
            call c = whole;
            for (auto* tensor : {&c.q, &c.k, &c.v, &c.out}) {
              *tensor = tokens_of(*tensor, begin, count, bytes);
            }
            return c;
          };
          REQUIRE_NOTHROW(verbs.forward(piece(0, 17)));
          REQUIRE_NOTHROW(verbs.forward(piece(17, 14)));
          for (std::int64_t t = 31; t < 40; ++t) {
            REQUIRE_NOTHROW(verbs.step(piece(t, 1)));
          }
          run.check(want);
        }
      }
    }
  }
}

}  // namespace
}  // namespace linattn_test
