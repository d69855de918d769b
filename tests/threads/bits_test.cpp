// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Bits: the same twice, for any number of threads, in a workspace of the size asked for and on a host's own threads; and
// for a row whatever else is in the batch. Problems are large enough that several threads really start.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace linattn_test {
namespace {

using linattn::element_kind;

/// ThreadSanitizer takes thirty times as long: fewer strategies and sequences.
#if defined(__SANITIZE_THREAD__)
constexpr bool patient = false;
#else
constexpr bool patient = true;
#endif
constexpr int tested_strategies = patient ? strategy_count : 3;

/// A host's pool: all bodies at once, or one after the other, the last one first.
struct host_threads {
  bool at_once = true;
  int most_workers = 0;

  [[nodiscard]] linattn::task_runner runner() {
    return {[](void* context, int workers, void (*body)(void*, int), void* data) {
              auto& self = *static_cast<host_threads*>(context);
              self.most_workers = std::max(self.most_workers, workers);
              std::vector<std::thread> threads;
              for (int i = workers - 1; i >= 0; --i) {
                if (self.at_once) {
                  threads.emplace_back(body, data, i);
                } else {
                  body(data, i);
                }
              }
              for (std::thread& thread : threads) {
                thread.join();
              }
            },
            this};
  }
};

/// Runs on 1 thread, then in every other way, and compares. Returns the number of workers that the host saw.
template <class Run, class Bytes, class Verb>
int check_all_ways(variant const& v, setup const& s, problem const& p, element_kind kind, Verb&& verb, Bytes&& bytes) {
  Run reference(v, s, p, kind);
  linattn::cpu_executor alone{};
  alone.threads = 1;
  verb(reference, alone);
  auto const check = [&](std::string const& way, linattn::cpu_executor const& executor) {
    CAPTURE(way);
    Run other(v, s, p, kind);
    verb(other, executor);
    CHECK(same_bits(reference, other));
  };
  check("again", alone);
  for (int threads = 2; threads <= 4; ++threads) {
    linattn::cpu_executor executor{};
    executor.threads = threads;
    check(std::to_string(threads) + " threads", executor);
  }
  host_threads pool{true};
  host_threads serial{false};
  for (host_threads* host : {&pool, &serial}) {
    linattn::cpu_executor executor{};
    executor.threads = 3;
    executor.tasks = host->runner();
    check("a host's threads", executor);
  }
  linattn::cpu_executor executor{};
  executor.threads = 3;
  Run sized(v, s, p, kind);
  std::vector<std::byte> workspace(bytes(sized, executor), std::byte{0xff});  // a NaN in any type
  executor.workspace = workspace;
  check("a workspace of the caller", executor);
  executor.workspace = executor.workspace.first(1);
  check("a workspace that is too small", executor);
  return pool.most_workers;
}

int check_forward(variant const& v, setup const& s, element_kind kind, int strategy) {
  problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
  return check_all_ways<forward_run>(
      v, s, p, kind,
      [&](forward_run& run, linattn::cpu_executor const& executor) {
        run.executor = executor;
        run.run(strategy);
      },
      [&](forward_run& run, linattn::cpu_executor const& executor) {
        run.executor = executor;
        return v.verbs(strategy, element_kind::float32).forward_bytes(run.arguments());
      });
}

int check_backward(variant const& v, setup const& s, element_kind kind, int strategy) {
  problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
  return check_all_ways<backward_run>(
      v, s, p, kind,
      [&](backward_run& run, linattn::cpu_executor const& executor) {
        run.forward.executor = executor;
        run.run(strategy);
      },
      [&](backward_run& run, linattn::cpu_executor const& executor) {
        run.forward.executor = executor;
        std::size_t const forward = v.verbs(strategy, element_kind::float32).forward_bytes(run.forward.arguments());
        return std::max(forward, v.verbs(strategy, element_kind::float32).backward_bytes(run.arguments()));
      });
}

std::vector<variant> tested_variants() {
  return {variant_named("rebased", 16), variant_named("rebased over all heads", 8)};
}

TEST_CASE("many sequences and heads: the same bits on any threads, in any workspace, in every strategy") {
  for (variant const& v : tested_variants()) {
    CAPTURE(v);
    setup const s{.batch = 2, .heads = 4, .kv_heads = 2, .time = 420, .value_dim = 64, .state = state_use::both,
                  .save_denominator = true};
    for (int strategy = 0; strategy < tested_strategies; ++strategy) {
      std::string const name = strategy_name(strategy);
      CAPTURE(name);
      CHECK(check_forward(v, s, element_kind::float32, strategy) == 3);
      CHECK(check_backward(v, s, element_kind::float32, strategy) == 3);
    }
    setup stateless = s;
    stateless.state = state_use::none;
    CHECK(check_backward(v, stateless, element_kind::float32, 1) == 3);
    setup packed = s;
    packed.lengths = {130, 0, 400, 31, 200};
    packed.causal = false;
    packed.save_denominator = false;
    CHECK(check_forward(v, packed, element_kind::bfloat16, 0) == 3);
    CHECK(check_backward(v, packed, element_kind::float16, 0) == 3);
  }
}

TEST_CASE("one sequence of one head: threads share its value columns and its segments with the same bits") {
  variant const v = variant_named("rebased", 16);
  for (bool const causal : {true, false}) {
    CAPTURE(causal);
    setup const s{.time = 9000, .value_dim = 24, .causal = causal, .state = state_use::both, .save_denominator = true};
    CHECK(check_forward(v, s, element_kind::float32, 0) == 3);
    CHECK(check_backward(v, s, element_kind::float32, 0) == 3);
    if (!patient) {
      break;
    }
    CHECK(check_forward(v, s, element_kind::float64, 0) == 3);
    setup packed = s;
    packed.lengths = {8300, 5000};  // fewer than threads: segments are shared, three of one and two of the other
    CHECK(check_forward(v, packed, element_kind::float32, 4) == 3);
    CHECK(check_backward(v, packed, element_kind::float32, 5) == 3);
  }
}

/// Row `row` of a dense tensor of `rows` rows.
std::vector<double> row_of(std::vector<double> const& dense, std::int64_t rows, std::int64_t row) {
  auto const size = static_cast<std::ptrdiff_t>(dense.size()) / rows;
  return {dense.begin() + row * size, dense.begin() + (row + 1) * size};
}

TEST_CASE("a row of a batch has the bits that it has alone, forward and backward") {
  for (variant const& v : tested_variants()) {
    CAPTURE(v);
    for (std::int64_t const time : {70, patient ? 8200 : 90}) {
      for (int strategy = 0; strategy < (time > 1000 ? 1 : strategy_count); ++strategy) {
        CAPTURE(time);
        std::string const name = strategy_name(strategy);
        CAPTURE(name);
        setup s{.batch = 3, .heads = 2, .kv_heads = 1, .time = time, .value_dim = 20, .state = state_use::both,
                .save_denominator = true, .threads = 3};
        auto const kind = element_kind::float32;
        problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind, true);
        backward_run whole(v, s, p, kind);
        whole.run(strategy);
        for (std::int64_t row = 0; row < 3; row += 2) {
          problem one = p;
          one.batch = 1;
          for (std::vector<double> problem::*const tensor :
               {&problem::q, &problem::k, &problem::v, &problem::initial_kv, &problem::initial_k_sum,
                &problem::grad_out, &problem::grad_final_kv, &problem::grad_final_k_sum}) {
            one.*tensor = row_of(p.*tensor, 3, row);
          }
          setup alone = s;
          alone.batch = 1;
          alone.threads = 2;
          alone.order = memory_order::sliced;
          backward_run single(v, alone, one, kind);
          single.run(strategy);
          CHECK(single.forward.out.gather() == row_of(whole.forward.out.gather(), 3, row));
          CHECK(single.forward.denominator.gather() == row_of(whole.forward.denominator.gather(), 3, row));
          CHECK(single.forward.last.kv() == row_of(whole.forward.last.kv(), 3, row));
          CHECK(single.grad_q.gather() == row_of(whole.grad_q.gather(), 3, row));
          CHECK(single.grad_k.gather() == row_of(whole.grad_k.gather(), 3, row));
          CHECK(single.grad_v.gather() == row_of(whole.grad_v.gather(), 3, row));
          CHECK(single.grad_first.kv() == row_of(whole.grad_first.kv(), 3, row));
        }
      }
    }
  }
}

TEST_CASE("a packed sequence has the bits that it has alone") {
  variant const v = variant_named("rebased", 16);
  auto const kind = element_kind::float32;
  for (int strategy = 0; strategy < strategy_count; ++strategy) {
    std::string const name = strategy_name(strategy);
    CAPTURE(name);
    setup s{.value_dim = 20, .lengths = {50, 0, 333, 64}, .threads = 2};
    problem const p = make_problem(v.map, v.head_dim, v.normalized, s, kind);
    forward_run whole(v, s, p, kind);
    whole.run(strategy);
    std::vector<double> const out = whole.out.gather();
    for (std::size_t n = 0; n < 4; ++n) {
      std::int64_t const begin = p.offsets[n];
      std::int64_t const end = p.offsets[n + 1];
      auto const part = [&](std::vector<double> const& dense) {
        std::int64_t const width = static_cast<std::int64_t>(dense.size()) / p.time;
        return std::vector<double>(dense.begin() + begin * width, dense.begin() + end * width);
      };
      problem one = p;
      one.offsets.clear();
      one.time = end - begin;
      one.q = part(p.q);
      one.k = part(p.k);
      one.v = part(p.v);
      setup alone = s;
      alone.lengths.clear();
      forward_run single(v, alone, one, kind);
      single.run(strategy);
      CHECK(single.out.gather() == part(out));
    }
  }
}

}  // namespace
}  // namespace linattn_test
