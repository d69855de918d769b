// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// precision::fast against the oracle, in all cases of the conformance test: within the bound of factors that are
// rounded to bf16. Where the CPU does not multiply bf16, and for double, the bits are those of precision::full.
#include "support/run.hpp"

#include <linattn/linattn.hpp>

#include <doctest/doctest.h>

#include <string>

namespace linattn_test {
namespace {

using linattn::element_kind;

constexpr int chunkwise_default = 0;
constexpr bool multiplies_bf16 = linattn::detail::has_bf16_products<float>;

TEST_CASE("fast forward equals the O(T^2) oracle within bf16 factors' bound") {
  for_each_forward_case(2000, [](test_case const& c, problem const& p, forward_run& run) {
    run.executor.products = linattn::precision::fast;
    REQUIRE_NOTHROW(run.run(c.strategy));
    run.operand = multiplies_bf16 && c.element != element_kind::float64 ? roundoff(element_kind::bfloat16) : 0;
    run.check(oracle_forward(p));
  });
}

TEST_CASE("fast rounds factors exactly where the CPU multiplies bf16") {
  std::string const does = multiplies_bf16 ? "multiplies bf16" : "has no products of bf16: fast is full";
  MESSAGE("this build " << does);
  variant const v = variant_named("rebased", 16);
  setup const s{.heads = 2, .kv_heads = 1, .time = 200, .value_dim = 40, .state = state_use::both};
  for (element_kind const kind : {element_kind::float32, element_kind::float64}) {
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run full(v, s, p, kind);
    forward_run fast(v, s, p, kind);
    fast.executor.products = linattn::precision::fast;
    full.run(chunkwise_default);
    fast.run(chunkwise_default);
    CHECK(same_bits(full, fast) == (kind == element_kind::float64 || !multiplies_bf16));
  }
}

}  // namespace
}  // namespace linattn_test
