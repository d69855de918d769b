// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Bits on a cuda_executor: the same in every order of the device's threads, in a workspace of the caller's, and for a
// row or a packed sequence whatever else is in the batch.
#include "emu/executor.hpp"
#include "parts.hpp"
#include "support/run.hpp"
#include "watched_memory.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace linattn_test {
namespace {

using linattn::element_kind;
constexpr element_kind tested_kinds[] = {element_kind::float32, element_kind::float16};

/// chunkwise<>, parallel, recurrent, automatic; those after them launch the same kernels.
#if !defined(LINATTN_TESTED_STRATEGIES)
#define LINATTN_TESTED_STRATEGIES 4
#endif
constexpr int tested_strategies = LINATTN_TESTED_STRATEGIES;

/// Each variant in each strategy and element type.
template <class F>
void for_each_table(F&& f) {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (element_kind const kind : tested_kinds) {
      std::string const element = element_name(kind);
      CAPTURE(element);
      for (int strategy = 0; strategy < tested_strategies; ++strategy) {
        std::string const name = strategy_name(strategy);
        CAPTURE(name);
        f(v, kind, strategy);
      }
    }
  }
}

TEST_CASE("the same bits again and in every order of threads") {
  using linattn::emu::schedule;
  for_each_table([](variant const& v, element_kind kind, int strategy) {
    for (bool const causal : {true, false}) {
      if (!causal && kind != element_kind::float32) {
        continue;  // the same launches
      }
      CAPTURE(causal);
      setup const s{.heads = 2,
                    .kv_heads = 1,
                    .time = 130,
                    .value_dim = 20,
                    .causal = causal,
                    .state = state_use::in_place,
                    .save_denominator = true};
      problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
      forward_run reference(v, s, p, kind);
      reference.run(strategy);
      auto const check = [&](std::string const& way, linattn::emu::options const& options) {
        CAPTURE(way);
        linattn::emu::scoped_options const scope(options);
        forward_run other(v, s, p, kind);
        other.run(strategy);
        CHECK(same_bits(reference, other));
      };
      check("again", {});
      check("another seed, threads interrupted", {.seed = 77, .preempt = 50});
      check("in order", {.order = schedule::in_order});
      check("in reverse", {.order = schedule::reverse});
    }
  });
}

TEST_CASE(
    "a workspace of the size asked for suffices wherever it begins, and one that is a byte too small stays clean") {
  int used = 0;
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (int strategy = 0; strategy < tested_strategies; ++strategy) {
      std::string const name = strategy_name(strategy);
      CAPTURE(name);
      setup const s{.batch = 2, .heads = 2, .kv_heads = 1, .time = 100, .value_dim = 20, .state = state_use::final};
      auto const kind = element_kind::float32;
      problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
      forward_run reference(v, s, p, kind);
      reference.run(strategy);
      std::size_t const bytes = v.verbs(strategy, kind).forward_bytes(reference.arguments());
      constexpr std::size_t alignment = 256;
      if (bytes == 0) {
        continue;
      }
      ++used;
      REQUIRE(bytes > alignment);
      auto const check = [&](std::size_t begin, std::size_t size, bool suffices) {
        CAPTURE(begin);
        CAPTURE(size);
        watched_memory const workspace(begin + size);
        forward_run sized(v, s, p, kind);
        sized.executor.workspace = workspace.from(begin);
        sized.run(strategy);
        CHECK(same_bits(reference, sized));
        CHECK(workspace.written() == suffices);
      };
      check(0, bytes, true);
      check(1, bytes, true);
      check(0, bytes - alignment, true);  // its begin is aligned
      check(0, bytes - alignment - 1, false);
      check(1, 1, false);
    }
  }
  CHECK(used > 0);
}

TEST_CASE("a row of a batch has the bits that it has alone") {
  for_each_table([](variant const& v, element_kind kind, int strategy) {
    setup const s{.batch = 2,
                  .heads = 2,
                  .kv_heads = 1,
                  .time = 70,
                  .value_dim = 20,
                  .state = state_use::both,
                  .save_denominator = true};
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run whole(v, s, p, kind);
    whole.run(strategy);
    problem const one = batch_row(p, 1);
    setup alone = s;
    alone.batch = 1;
    alone.order = memory_order::sliced;  // and no address is a multiple of 16
    forward_run single(v, alone, one, kind);
    single.run(strategy);
    CHECK(single.out.gather() == row_of(whole.out.gather(), 2, 1));
    if (single.saves_denominator()) {  // without a normalizer there are none
      CHECK(single.denominator.gather() == row_of(whole.denominator.gather(), 2, 1));
    }
    CHECK(single.last.kv() == row_of(whole.last.kv(), 2, 1));
    CHECK(single.last.k_sum() == row_of(whole.last.k_sum(), 2, 1));
  });
}

TEST_CASE("a packed sequence has the bits that it has among others") {
  for_each_table([](variant const& v, element_kind kind, int strategy) {
    setup s{.value_dim = 20, .lengths = {0, 50, 0, 133, 64, 0}, .state = state_use::final};
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run whole(v, s, p, kind);
    whole.run(strategy);
    for (std::size_t const n : {std::size_t{1}, std::size_t{3}}) {
      CAPTURE(n);
      problem const one = packed_sequence(p, n);
      s.lengths = {one.time};
      forward_run single(v, s, one, kind);
      single.run(strategy);
      auto const row = static_cast<std::int64_t>(n);
      CHECK(single.out.gather() == sequence_of(whole.out.gather(), p, n));
      CHECK(single.last.kv() == row_of(whole.last.kv(), 6, row));
      CHECK(single.last.k_sum() == row_of(whole.last.k_sum(), 6, row));
    }
  });
}

}  // namespace
}  // namespace linattn_test
