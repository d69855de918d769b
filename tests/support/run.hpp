// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// forward_run and backward_run: a problem laid out in guarded memory as a setup says, a verb called on the CPU, and
// every result held against the oracle. They know variants by their tables, not by their types.
#ifndef LINATTN_TESTS_SUPPORT_RUN_HPP
#define LINATTN_TESTS_SUPPORT_RUN_HPP

#include "support/call.hpp"
#include "support/parameter_memory.hpp"
#include "support/setup.hpp"
#include "support/state_memory.hpp"
#include "support/tensor.hpp"
#include "support/tolerance.hpp"
#include "support/variants.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace linattn_test {

/// Packed offsets as the caller would hold them.
class offset_memory {
 public:
  offset_memory(setup const& s, problem const& p);
  [[nodiscard]] raw_offsets view() const;

 private:
  bool wide_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int32_t> narrow_;
};

/// The parameters of a problem, and their gradients, which start at 0.5.
struct parameter_set {
  parameter_set(problem const& p, linattn::element_kind kind);
  [[nodiscard]] raw_parameters views();
  [[nodiscard]] raw_parameters grad_views();

  bool shared;
  parameter_memory gamma_q, beta_q, gamma_k, beta_k;
};

struct forward_run {
  /// The problem must outlive the run.
  forward_run(variant const& v, setup const& s, problem const& p, linattn::element_kind element);

  /// What run() calls the verb with; points into this object.
  call arguments();
  void run(int strategy);
  void check(forward_result const& want) const;

  [[nodiscard]] bool saves_denominator() const { return s.save_denominator && v.normalized; }
  [[nodiscard]] state_memory& final_memory() { return in_place() ? first : last; }
  [[nodiscard]] state_memory const& final_memory() const { return in_place() ? first : last; }
  [[nodiscard]] bool in_place() const { return s.state == state_use::in_place || s.state == state_use::pool; }
  /// The same bits in every output.
  friend bool same_bits(forward_run const& a, forward_run const& b);

  variant v;
  setup s;
  problem const& p;
  linattn::element_kind element, wide;
  double operand;  // what check() allows for (see verb_table); before run(), the coarsest of the variant's strategies
  linattn::cpu_executor executor{};
  offset_memory offsets;
  parameter_set parameters;
  tensor q, k, values, out, denominator;
  state_memory first, last;
};

struct backward_run {
  backward_run(variant const& v, setup const& s, problem const& p, linattn::element_kind element);

  call arguments();
  /// If the setup saves them, forward computes out and denominator first; its state is then put back.
  void run(int strategy);
  void check() const;

  /// In place: the gradient by the initial state replaces the one by the final state.
  [[nodiscard]] state_memory& grad_initial() { return forward.in_place() ? grad_last : grad_first; }
  [[nodiscard]] state_memory const& grad_initial() const { return forward.in_place() ? grad_last : grad_first; }
  friend bool same_bits(backward_run const& a, backward_run const& b);

  forward_run forward;
  double operand = 0;  // of the backward pass
  tensor grad_out, grad_q, grad_k, grad_v;
  state_memory grad_last, grad_first;
};

/// Calls f(case, problem, run) for the table of cases of each variant; the run has not run yet.
template <class F>
void for_each_forward_case(std::uint64_t seed, F&& f) {
  for (variant const& v : variants()) {
    CAPTURE(v);
    table_limits limits{};
    if (v.head_dim > 32) {  // the oracle's time
      limits.longest = 70;
      limits.widest = 16;
    }
    for (test_case const& c : cases_of(v, limits, seed + static_cast<std::uint64_t>(v.head_dim))) {
      std::string const strategy = strategy_name(c.strategy);
      std::string const element = element_name(c.element);
      CAPTURE(strategy);
      CAPTURE(element);
      CAPTURE(c.axes);
      problem const p = make_problem(v.map, v.head_dim, v.normalized, c.axes, c.element);
      forward_run run(v, c.axes, p, c.element);
      f(c, p, run);
    }
  }
}

}  // namespace linattn_test

#endif
