// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What is not finite in one sequence and head stays there, forward and backward: all other results keep their bits.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace linattn_test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Which results a spoiled number may reach: one sequence's tokens of one batch row, of one key head and its queries,
/// or of all heads.
struct reach {
  std::int64_t row, begin, end, sequence, kv_head;
  bool every_head = false;
};

/// Of a spoiled row of q or k: preparation may spread it over the heads of its token.
reach of_rows(reach r, problem const& p) {
  r.every_head = p.map.prepare == preparation::layer_norm_all_heads;
  return r;
}

/// `dirty` equals `clean` outside the reach; inside, something is not finite if it `depends` on what was spoiled.
/// Tensors are (rows, heads, time, width).
void check_contained(std::string const& name, std::vector<double> const& clean, std::vector<double> const& dirty,
                     problem const& p, std::int64_t heads, reach const& r, bool depends = true) {
  CAPTURE(name);
  std::int64_t const width = static_cast<std::int64_t>(clean.size()) / (p.batch * heads * p.time);
  std::size_t spoiled = 0;
  std::size_t changed_outside = 0;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    std::int64_t const at = static_cast<std::int64_t>(i) / width;
    std::int64_t const time = at % p.time;
    std::int64_t const head = at / p.time % heads;
    std::int64_t const kv_head = heads == p.kv_heads ? head : p.kv_head_of(head);
    bool const inside =
        at / p.time / heads == r.row && time >= r.begin && time < r.end && (r.every_head || kv_head == r.kv_head);
    bool const same = clean[i] == dirty[i];
    spoiled += inside && !std::isfinite(dirty[i]) ? 1U : 0U;
    changed_outside += !inside && !same ? 1U : 0U;
  }
  CHECK((spoiled > 0) == depends);
  CHECK(changed_outside == 0);
}

/// States are (sequences, key heads, features, ...).
void check_contained(std::string const& name, std::vector<double> const& clean, std::vector<double> const& dirty,
                     problem const& p, reach const& r) {
  CAPTURE(name);
  std::size_t const size = clean.size() / static_cast<std::size_t>(p.sequences() * p.kv_heads);
  std::size_t changed_outside = 0;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    auto const state = static_cast<std::int64_t>(i / size);
    bool const inside = state / p.kv_heads == r.sequence && (r.every_head || state % p.kv_heads == r.kv_head);
    changed_outside += !inside && clean[i] != dirty[i] ? 1U : 0U;
  }
  CHECK(changed_outside == 0);
}

std::vector<setup> setups() {
  setup batch{.batch = 3, .heads = 4, .kv_heads = 2, .time = 70, .value_dim = 20, .state = state_use::both,
              .save_denominator = true, .eps = 0.25};
  setup packed{.heads = 2, .kv_heads = 2, .value_dim = 20, .lengths = {0, 33, 21, 0, 50}, .state = state_use::both,
               .eps = 0.25};
  setup open = batch;
  open.causal = false;
  return {batch, packed, open};
}

/// Batch row 1, or the packed sequence of 21 tokens; key head 1.
reach reach_of(problem const& p) {
  if (p.offsets.empty()) {
    return {1, 0, p.time, 1, 1};
  }
  return {0, p.offsets[2], p.offsets[3], 2, 1};
}

/// The first number of token 5 of the reach, in a tensor of `heads` heads.
void spoil(std::vector<double>& numbers, problem const& p, std::int64_t heads, reach const& r, double bad) {
  std::int64_t head = 0;
  while ((heads == p.kv_heads ? head : p.kv_head_of(head)) != r.kv_head) {
    ++head;
  }
  std::int64_t const width = static_cast<std::int64_t>(numbers.size()) / (p.batch * heads * p.time);
  numbers[static_cast<std::size_t>(((r.row * heads + head) * p.time + r.begin + 5) * width)] = bad;
}

/// Infinity only where it is cheap: it becomes a NaN as soon as anything multiplies it by zero.
std::vector<double> bad_numbers(linattn::element_kind kind) {
  return kind == linattn::element_kind::float32 ? std::vector<double>{nan, infinity} : std::vector<double>{nan};
}

template <class F>
void for_each_case(F&& f) {
  for (variant const& v : variants()) {
    if (v.feature_dim > 1000) {
      continue;  // the time
    }
    CAPTURE(v);
    for (setup const& s : setups()) {
      CAPTURE(s);
      for (linattn::element_kind const kind : {linattn::element_kind::float32, linattn::element_kind::float16}) {
        for (int strategy = 0; strategy < strategy_count; ++strategy) {
          if (v.verbs(strategy, kind).forward == nullptr) {
            continue;
          }
          std::string const name = std::string(strategy_name(strategy)) + ", " + element_name(kind);
          CAPTURE(name);
          f(v, s, strategy, kind);
        }
      }
    }
  }
}

TEST_CASE("NaN and infinity in keys and values stay in their sequence and head in forward") {
  for_each_case([](variant const& v, setup const& s, int strategy, linattn::element_kind kind) {
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run clean(v, s, p, kind);
    clean.run(strategy);
    auto const check = [&](bool key, double bad) {
      CAPTURE(key);
      CAPTURE(bad);
      problem bad_problem = p;
      reach const r = key ? of_rows(reach_of(p), p) : reach_of(p);
      spoil(key ? bad_problem.k : bad_problem.v, p, p.kv_heads, r, bad);
      forward_run dirty(v, s, bad_problem, kind);
      dirty.run(strategy);
      check_contained("out", clean.out.gather(), dirty.out.gather(), p, p.heads, r);
      check_contained("kv", clean.last.kv(), dirty.last.kv(), p, r);
      check_contained("k_sum", clean.last.k_sum(), dirty.last.k_sum(), p, r);
    };
    check(true, nan);
    for (double const bad : bad_numbers(kind)) {
      check(false, bad);
    }
  });
}

TEST_CASE("NaN and infinity in an initial state stay in its sequence and head in forward") {
  for_each_case([](variant const& v, setup const& s, int strategy, linattn::element_kind kind) {
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run clean(v, s, p, kind);
    clean.run(strategy);
    reach const r = reach_of(p);
    for (double const bad : bad_numbers(kind)) {
      CAPTURE(bad);
      problem bad_problem = p;
      std::size_t const state = p.initial_kv.size() / static_cast<std::size_t>(p.sequences() * p.kv_heads);
      bad_problem.initial_kv[static_cast<std::size_t>(r.sequence * p.kv_heads + r.kv_head) * state] = bad;
      forward_run dirty(v, s, bad_problem, kind);
      dirty.run(strategy);
      check_contained("out", clean.out.gather(), dirty.out.gather(), p, p.heads, r);
      check_contained("kv", clean.last.kv(), dirty.last.kv(), p, r);
    }
  });
}

TEST_CASE("NaN and infinity stay in their sequence and head in backward") {
  for_each_case([](variant const& v, setup const& s, int strategy, linattn::element_kind kind) {
    if (v.verbs(strategy, kind).backward == nullptr) {
      return;
    }
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
    backward_run clean(v, s, p, kind);
    clean.run(strategy);
    reach const r = reach_of(p);
    for (bool const value : {true, false}) {
      CAPTURE(value);
      for (double const bad : bad_numbers(kind)) {
        CAPTURE(bad);
        problem bad_problem = p;
        if (value) {
          spoil(bad_problem.v, p, p.kv_heads, r, bad);
        } else {
          spoil(bad_problem.grad_out, p, p.heads, r, bad);
        }
        backward_run dirty(v, s, bad_problem, kind);
        dirty.run(strategy);
        check_contained("grad_q", clean.grad_q.gather(), dirty.grad_q.gather(), p, p.heads, of_rows(r, p));
        check_contained("grad_k", clean.grad_k.gather(), dirty.grad_k.gather(), p, p.kv_heads, of_rows(r, p));
        check_contained("grad_v", clean.grad_v.gather(), dirty.grad_v.gather(), p, p.kv_heads, r, !value);
        check_contained("grad_kv", clean.grad_first.kv(), dirty.grad_first.kv(), p, r);
      }
    }
  });
}

}  // namespace
}  // namespace linattn_test
