// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sequences longer than one piece of the default tuning, which other tests shorten: linked with maps that use cuda_tuning.
#include "emu/executor.hpp"
#include "support/run.hpp"

#include <linattn/tuning/cuda.hpp>

#include <doctest/doctest.h>

#include <cstdint>

namespace linattn_test {
namespace {

/// The default strategy on `time` tokens of one head: three launches, and what the oracle says.
void check_pieces(variant const& v, std::int64_t time) {
  CAPTURE(v);
  CAPTURE(time);
  auto const kind = linattn::element_kind::float32;
  setup const s{.time = time, .value_dim = 1, .state = state_use::in_place, .save_denominator = true};
  problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
  forward_run run(v, s, p, kind);
  linattn::emu::current_stats() = {};
  REQUIRE_NOTHROW(run.run(0));
  CHECK(linattn::emu::current_stats().launches == 3);
  run.check(oracle_forward(p));
}

TEST_CASE("a sequence of more than one default segment or chunk equals the oracle") {
  constexpr int arch = 80;  // the host executor's
  check_pieces(variant_named("elu_plus_one", 1), linattn::cuda_tuning::segment_tokens(arch) + 70);
  variant const& in_phases = variant_named("user's cubic", 5);
  check_pieces(in_phases, 2 * linattn::cuda_tuning::chunk_tokens(arch, in_phases.feature_dim) + 70);
}

}  // namespace
}  // namespace linattn_test
