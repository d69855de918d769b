// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CPU's backward of a sequence that is one block without a state: it weighs each tile of pairs once, for all three
// gradients. Long enough for several tiles of keys.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace linattn_test {
namespace {

TEST_CASE("gradients of one block equal the oracle's over several tiles of keys and queries") {
  constexpr int parallel = 1;
  for (variant const& v : variants()) {
    if (!v.map.differentiable || v.head_dim > 16) {
      continue;
    }
    CAPTURE(v);
    for (bool const causal : {true, false}) {
      for (std::vector<std::int64_t> const& lengths : {std::vector<std::int64_t>{}, {0, 257, 40}}) {
        setup s{.heads = 2,
                .kv_heads = 1,
                .time = 290,
                .value_dim = 3,
                .causal = causal,
                .lengths = lengths,
                .save_denominator = true};
        CAPTURE(s);
        problem const p = make_problem(v.map, v.head_dim, v.normalized, s, linattn::element_kind::float32, true);
        backward_run run(v, s, p, linattn::element_kind::float32);
        REQUIRE_NOTHROW(run.run(parallel));
        run.check();
      }
    }
  }
}

}  // namespace
}  // namespace linattn_test
