// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The selector's numbers are those of the architecture that the kernels were compiled for: the host executor says
// which, and pieces_by_architecture has other numbers for each.
#include "emu/executor.hpp"
#include "support/run.hpp"

#include <linattn/cuda/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace linattn_test {
namespace {

namespace emu = linattn::emu;

constexpr auto kind = linattn::element_kind::float32;
enum strategy { chunked = 0, parallel = 1, recurrent = 2, automatic = 3 };

/// Longer than the short pieces, not than the long ones; no final state, as that alone takes memory.
setup case_of(strategy which) {
  auto const state = which == parallel ? state_use::final : state_use::none;
  return {.heads = 2, .kv_heads = 1, .time = 100, .value_dim = 70, .state = state};
}

struct outcome {
  std::size_t bytes;  // what workspace_bytes says
  bool written;       // a workspace of that size was used
  std::uint64_t launches;
};

outcome run_on(int arch, variant const& v, strategy which) {
  emu::scoped_options const scope({.architecture = arch});
  setup const s = case_of(which);
  problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
  forward_run run(v, s, p, kind);
  std::size_t const bytes = v.verbs(which, kind).forward_bytes(run.arguments());
  auto* const workspace = static_cast<std::byte*>(emu::allocate(bytes));
  std::vector<std::byte> const before(workspace, workspace + bytes);
  run.executor.workspace = {workspace, bytes};
  emu::current_stats() = {};
  REQUIRE_NOTHROW(run.run(which));
  std::uint64_t const launches = emu::current_stats().launches;
  run.check(oracle_forward(p));
  bool const written = std::memcmp(workspace, before.data(), bytes) != 0;
  emu::release(workspace);
  return {bytes, written, launches};
}

TEST_CASE("the architecture of the compiled kernels decides where sequences are cut") {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (strategy const which : {chunked, automatic}) {
      CAPTURE(strategy_name(which));
      outcome const older = run_on(80, v, which);
      outcome const newer = run_on(90, v, which);
      CHECK(older.bytes == 0);  // one piece: no state between pieces
      CHECK(older.launches == 1);
      CHECK(newer.bytes > 0);
      CHECK(newer.written);
      CHECK(newer.launches == 3);
    }
    // The parallel form sums the final state in chunks.
    outcome const older = run_on(80, v, parallel);
    outcome const newer = run_on(90, v, parallel);
    CHECK(newer.bytes > older.bytes);
    CHECK(newer.written);
    CHECK(older.written);
  }
}

TEST_CASE("automatic takes the chunkwise form's bits of causal calls below the crossover where a map can be fused") {
  emu::scoped_options const scope({.architecture = 80});  // the crossover is far above
  setup s = case_of(automatic);
  for (variant const& v : variants()) {
    CAPTURE(v);
    bool const fused = v.map.name != std::string("user's cubic");
    for (bool const causal : {true, false}) {
      CAPTURE(causal);
      s.causal = causal;
      problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
      auto const out_of = [&](strategy which) {
        forward_run run(v, s, p, kind);
        run.run(which);
        return run.out.gather();
      };
      if (fused && causal) {
        CHECK(out_of(automatic) == out_of(chunked));
        CHECK(out_of(automatic) != out_of(parallel));
      } else {
        CHECK(out_of(automatic) == out_of(parallel));
      }
    }
  }
}

TEST_CASE("where CUDA cannot say the architecture, forward throws before any launch; sizes are those of 0") {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (strategy const which : {chunked, parallel, automatic}) {
      CAPTURE(strategy_name(which));
      std::size_t const as_if = run_on(80, v, which).bytes;  // in this selector, 0 is as 80
      emu::scoped_options const scope({.architecture = 0});
      setup const s = case_of(which);
      problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
      forward_run run(v, s, p, kind);
      CHECK(v.verbs(which, kind).forward_bytes(run.arguments()) == as_if);
      emu::current_stats() = {};
      CHECK_THROWS_WITH_AS(run.run(which),
                           "linattn::forward: asking which architecture the kernels are for failed: no kernel image is "
                           "available for execution on the device; check the device and the stream",
                           linattn::cuda_error);
      CHECK(emu::current_stats().launches == 0);
    }
  }
}

TEST_CASE("the recurrent form and step have no numbers to choose, and do not ask") {
  emu::scoped_options const scope({.architecture = 0});
  for (variant const& v : variants()) {
    CAPTURE(v);
    setup const s{.heads = 2, .kv_heads = 1, .time = 1, .value_dim = 20, .state = state_use::in_place};
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run run(v, s, p, kind);
    CHECK_NOTHROW(run.run(recurrent));
    CHECK_NOTHROW(v.verbs(recurrent, kind).step(run.arguments()));
  }
}

}  // namespace
}  // namespace linattn_test
