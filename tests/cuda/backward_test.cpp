// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// backward() on a cuda_executor beyond the gradient tables: its bits, its workspace, and shapes where kernels go round
// a loop once more.
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

/// chunkwise<> and parallel: the other strategies launch the same kernels.
#if !defined(LINATTN_TESTED_STRATEGIES)
#define LINATTN_TESTED_STRATEGIES 2
#endif
constexpr int tested_strategies = LINATTN_TESTED_STRATEGIES;

template <class F>
void for_each_strategy(F&& f) {
  for (variant const& v : variants()) {
    CAPTURE(v);
    for (int strategy = 0; strategy < tested_strategies; ++strategy) {
      std::string const name = strategy_name(strategy);
      CAPTURE(name);
      f(v, strategy);
    }
  }
}

bool same_parameter_grads(backward_run const& a, backward_run const& b) {
  auto const& x = a.forward.parameters;
  auto const& y = b.forward.parameters;
  return x.gamma_q == y.gamma_q && x.beta_q == y.beta_q && x.gamma_k == y.gamma_k && x.beta_k == y.beta_k;
}

TEST_CASE("gradients have the same bits again and in every order of threads") {
  using linattn::emu::schedule;
  for_each_strategy([](variant const& v, int strategy) {
    setup const s{.heads = 2, .kv_heads = 1, .time = 130, .value_dim = 20, .state = state_use::in_place};
    auto const kind = element_kind::float16;
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
    backward_run reference(v, s, p, kind);
    reference.run(strategy);
    auto const check = [&](std::string const& way, linattn::emu::options const& options) {
      CAPTURE(way);
      linattn::emu::scoped_options const scope(options);
      backward_run other(v, s, p, kind);
      other.run(strategy);
      CHECK(same_bits(reference, other));
    };
    check("another seed, threads interrupted", {.seed = 77, .preempt = 50});
    check("in reverse", {.order = schedule::reverse});
  });
}

TEST_CASE("backward uses a workspace of the size asked for, and none that is a byte too small") {
  for_each_strategy([](variant const& v, int strategy) {
    for (bool const saved : {true, false}) {
      CAPTURE(saved);
      setup const s{.batch = 2,
                    .heads = 2,
                    .kv_heads = 1,
                    .time = 100,
                    .value_dim = 20,
                    .state = state_use::both,
                    .save_denominator = saved};
      auto const kind = element_kind::float32;
      problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
      backward_run reference(v, s, p, kind);
      reference.run(strategy);
      std::size_t const bytes = v.verbs(strategy, kind).backward_bytes(reference.arguments());
      constexpr std::size_t alignment = 256;
      REQUIRE(bytes > alignment);
      for (std::size_t const size : {bytes - alignment, bytes - alignment - 1}) {  // its begin is aligned
        CAPTURE(size);
        watched_memory const workspace(size);
        backward_run sized(v, s, p, kind);
        call c = sized.arguments();
        c.executor.workspace = workspace.from(0);
        if (saved) {
          c.out = reference.arguments().out;
          c.denominator = reference.arguments().denominator;
        }
        v.verbs(strategy, kind).backward(c);
        CHECK(same_bits(reference, sized));
        CHECK(workspace.written() == (size == bytes - alignment));
      }
    }
  });
}

TEST_CASE("the gradients of a row of a batch have the bits that they have alone") {
  for_each_strategy([](variant const& v, int strategy) {
    setup const s{.batch = 2, .heads = 2, .kv_heads = 1, .time = 70, .value_dim = 20, .state = state_use::both};
    auto const kind = element_kind::float16;
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
    backward_run whole(v, s, p, kind);
    whole.run(strategy);
    problem const one = batch_row(p, 1);
    setup alone = s;
    alone.batch = 1;
    alone.order = memory_order::sliced;  // and no address is a multiple of 16
    backward_run single(v, alone, one, kind);
    single.run(strategy);
    CHECK(single.grad_q.gather() == row_of(whole.grad_q.gather(), 2, 1));
    CHECK(single.grad_k.gather() == row_of(whole.grad_k.gather(), 2, 1));
    CHECK(single.grad_v.gather() == row_of(whole.grad_v.gather(), 2, 1));
    CHECK(single.grad_initial().kv() == row_of(whole.grad_initial().kv(), 2, 1));
    CHECK(single.grad_initial().k_sum() == row_of(whole.grad_initial().k_sum(), 2, 1));
  });
}

TEST_CASE("the gradients of a packed sequence have the bits that they have alone") {
  for_each_strategy([](variant const& v, int strategy) {
    setup s{.value_dim = 20, .lengths = {50, 133, 0}};
    auto const kind = element_kind::float16;
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
    backward_run whole(v, s, p, kind);
    whole.run(strategy);
    problem const one = packed_sequence(p, 1);
    s.lengths = {one.time};
    backward_run single(v, s, one, kind);
    single.run(strategy);
    CHECK(single.grad_q.gather() == sequence_of(whole.grad_q.gather(), p, 1));
    CHECK(single.grad_k.gather() == sequence_of(whole.grad_k.gather(), p, 1));
    CHECK(single.grad_v.gather() == sequence_of(whole.grad_v.gather(), p, 1));
  });
}

TEST_CASE("what a token adds to the gradients has the same bits whatever chunks and pieces follow it") {
  setup const s{.heads = 1, .kv_heads = 1, .time = 140, .value_dim = 3};
  auto const kind = element_kind::float16;
  for_each_strategy([&](variant const& v, int strategy) {
    for (std::int64_t const token : {5, 70, 130}) {
      CAPTURE(token);
      problem p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
      for (std::size_t i = 0; i < p.grad_out.size(); ++i) {
        p.grad_out[i] = static_cast<std::int64_t>(i) / p.value_dim == token ? p.grad_out[i] : 0;
      }
      backward_run whole(v, s, p, kind);
      whole.run(strategy);
      setup shorter = s;
      shorter.time = token + 1;
      backward_run single(v, shorter, first_tokens(p, shorter.time), kind);
      single.run(strategy);
      CHECK(same_parameter_grads(single, whole));
      auto const first = [&](tensor const& t) { return first_of(t.gather(), p.time, shorter.time); };
      CHECK(single.grad_q.gather() == first(whole.grad_q));
      CHECK(single.grad_k.gather() == first(whole.grad_k));
      CHECK(single.grad_v.gather() == first(whole.grad_v));
    }
  });
}

TEST_CASE("gradients of many pieces, queries of a group, values and rows equal the oracle's") {
  setup const grouped{.heads = 9, .kv_heads = 1, .time = 19, .value_dim = 20, .state = state_use::in_place};
  setup const values{
      .heads = 2, .kv_heads = 1, .time = 70, .value_dim = 150, .state = state_use::both, .save_denominator = true};
  setup const pieces{.heads = 2, .kv_heads = 1, .time = 130, .value_dim = 5, .state = state_use::in_place};
  setup open = pieces;
  open.causal = false;
  setup const packed{.heads = 2, .kv_heads = 2, .value_dim = 70, .lengths = {0, 50, 133, 0}, .state = state_use::both};
  setup const rows{
      .batch = 17, .heads = 1, .kv_heads = 1, .time = 65, .value_dim = 3};  // parameters: more than one part
  for_each_strategy([&](variant const& v, int strategy) {
    for (setup const& s : {grouped, values, pieces, open, packed, rows}) {
      CAPTURE(s);
      for (element_kind const kind : {element_kind::float32, element_kind::float16}) {  // f16: in one sweep, if any is
        std::string const element = element_name(kind);
        CAPTURE(element);
        problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
        backward_run run(v, s, p, kind);
        REQUIRE_NOTHROW(run.run(strategy));
        run.check();
      }
    }
  });
}

}  // namespace
}  // namespace linattn_test
