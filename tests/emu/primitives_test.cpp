// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The emulated primitives against the formulas, on many schedules.
#include <doctest/doctest.h>

#include "emu/executor.hpp"
#include "emu/primitive_cases.hpp"

namespace {

namespace emu = linattn::emu;

void check_all(emu::options const& chosen) {
  emu::scoped_options const scope(chosen);
  for (auto const& primitive : linattn_test::primitive_cases()) {
    CAPTURE(primitive.name);
    CHECK(primitive.check() == linattn_test::finding{});
  }
}

}  // namespace

TEST_CASE("every emulated primitive gives what its formula says, in every order of the threads") {
  for (auto const order : {emu::schedule::in_order, emu::schedule::reverse, emu::schedule::random}) {
    for (unsigned const preempt : {0U, 3U}) {
      emu::options chosen;
      chosen.order = order;
      chosen.preempt = preempt;
      check_all(chosen);
    }
  }
}

TEST_CASE("every emulated primitive gives what its formula says on 20 seeds") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    emu::options chosen;
    chosen.seed = seed;
    check_all(chosen);
  }
}

TEST_CASE("the test's own code is instrumented") {
  check_all({});
  CHECK(emu::instrumented());
}

TEST_CASE("a launch is counted") {
  emu::current_stats() = {};
  CHECK(linattn_test::check_ldmatrix<4>().empty());
  CHECK(linattn_test::check_mma_f64().empty());
  emu::stats const counted = emu::current_stats();
  CHECK(counted.launches == 2);
  CHECK(counted.blocks == 2);
  CHECK(counted.threads == 64);
  CHECK(counted.ldmatrix == 2);
  CHECK(counted.ldmatrix_conflicts == 0);  // rows of 48 bytes
  CHECK(counted.mma == 1);
  CHECK(counted.global_written_bytes == 3 * 4 * 32 * 4 + 64 * 8);
}
