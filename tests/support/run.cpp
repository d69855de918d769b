// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Laying out, calling and checking.
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace linattn_test {
namespace {

using linattn::element_kind;
using std::size_t;

memory_order kv_order(setup const& s) { return s.broadcast_kv ? memory_order::broadcast : s.order; }

element_kind wide_of(element_kind kind) { return kind == element_kind::float64 ? kind : element_kind::float32; }

/// What is computed from the rounded, saved output may differ from the rest as far as the two oracles do.
void check_gradient(char const* name, problem const& p, std::vector<double> const& got, tracked_vector const& want,
                    tracked_vector const& saved, element_kind kind, double operand) {
  CAPTURE(name);
  std::vector<double> slack(want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    slack[i] = std::abs(want[i].value - saved[i].value);
  }
  precision precise = gradient_precision_of(p, kind, operand);
  precise.terms += static_cast<double>(p.time);  // a sum over t of what is itself a sum over j
  CHECK_WITHIN(got, want, precise, slack);
}

/// The gradients add to what was there (0.5); rank 1 sums over the heads, shared views over both sides.
void check_parameter(char const* name, problem const& p, parameter_memory const& parameter, element_kind kind,
                     double operand, std::vector<tracked_vector const*> const& want,
                     std::vector<tracked_vector const*> const& saved) {
  CAPTURE(name);
  CHECK(parameter.canaries_intact());
  if (parameter.size() == 0) {
    return;
  }
  tracked_vector sums(parameter.size(), 0.5);
  std::vector<double> slack(parameter.size());
  for (size_t side = 0; side < want.size(); ++side) {
    for (size_t i = 0; i < want[side]->size(); ++i) {
      sums[i % parameter.size()] += (*want[side])[i];
      slack[i % parameter.size()] += std::abs((*want[side])[i].value - (*saved[side])[i].value);
    }
  }
  precision precise = gradient_precision_of(p, kind, operand);
  precise.terms += static_cast<double>(p.batch * p.time * p.heads);
  CHECK_WITHIN(parameter.gather(), sums, precise, slack);
}

}  // namespace

verb_table const& variant::verbs(int strategy, element_kind element) const {
  return table[element_index(element)][strategy];
}

double variant::coarsest_operand(element_kind element) const {
  double coarsest = 0;
  for (verb_table const& verbs : table[element_index(element)]) {
    coarsest = std::max(coarsest, verbs.forward_operand);
  }
  return coarsest;
}

bool variant::has_backward() const {
  bool all = true;
  bool any = false;
  for (verb_table const(&strategies)[strategy_count] : table) {
    if (strategies[0].forward != nullptr) {
      any = true;
      all = all && strategies[0].backward != nullptr;
    }
  }
  return any && all;
}

std::ostream& operator<<(std::ostream& stream, variant const& v) {
  return stream << v.map.name << " of head_dim " << v.head_dim;
}

std::vector<test_case> cases_of(variant const& v, table_limits limits, std::uint64_t seed) {
  limits.doubles = v.serves_doubles();
  std::vector<test_case> cases;
  for (test_case c : case_table(limits, seed)) {
    if (v.verbs(c.strategy, c.element).forward != nullptr) {
      cases.push_back(c);
    } else if (v.verbs(0, c.element).forward != nullptr) {  // else the library is without this element type
      test_case float_case = c;
      float_case.element = element_kind::float32;
      if (v.verbs(float_case.strategy, float_case.element).forward != nullptr) {
        cases.push_back(float_case);
      }
      c.strategy = 0;
      cases.push_back(c);
    }
  }
  return cases;
}

offset_memory::offset_memory(setup const& s, problem const& p) : wide_(s.wide_offsets), offsets_(p.offsets) {
  for (std::int64_t offset : offsets_) {
    narrow_.push_back(static_cast<std::int32_t>(offset));
  }
}

raw_offsets offset_memory::view() const {
  if (offsets_.empty()) {
    return {};
  }
  return wide_ ? raw_offsets{{}, offsets_} : raw_offsets{narrow_, {}};
}

parameter_set::parameter_set(problem const& p, element_kind kind)
    : shared(p.map.parameters.shared),
      gamma_q(kind, p.gamma_q, p.map.parameters, p.head_dim, 0.5),
      beta_q(kind, p.beta_q, p.map.parameters, p.head_dim, 0.5),
      gamma_k(kind, p.gamma_k, p.map.parameters, p.head_dim, 0.5),
      beta_k(kind, p.beta_k, p.map.parameters, p.head_dim, 0.5) {}

raw_parameters parameter_set::views() {
  return {gamma_q.view(), beta_q.view(), (shared ? gamma_q : gamma_k).view(), (shared ? beta_q : beta_k).view()};
}

raw_parameters parameter_set::grad_views() {
  return {gamma_q.grad_view(), beta_q.grad_view(), (shared ? gamma_q : gamma_k).grad_view(),
          (shared ? beta_q : beta_k).grad_view()};
}

forward_run::forward_run(variant const& a_variant, setup const& a_setup, problem const& a_problem, element_kind kind)
    : v(a_variant),
      s(a_setup),
      p(a_problem),
      element(kind),
      wide(wide_of(kind)),
      operand(v.coarsest_operand(kind)),
      offsets(s, p),
      parameters(p, wide),
      q(element, s.order, p.batch, p.heads, p.time, p.head_dim),
      k(element, kv_order(s), p.batch, p.kv_heads, p.time, p.head_dim),
      values(element, kv_order(s), p.batch, p.kv_heads, p.time, p.value_dim),
      out(element, s.order, p.batch, p.heads, p.time, p.value_dim),
      denominator(wide, s.order, p.batch, p.heads, p.time, 1),
      first(wide, v.feature_dim, p.sequences(), p.kv_heads, p.value_dim, s.layout, s.state == state_use::pool),
      last(wide, v.feature_dim, p.sequences(), p.kv_heads, p.value_dim, s.layout, s.state == state_use::pool) {
  executor.threads = s.threads;
  q.fill(p.q);
  k.fill(p.k);
  values.fill(p.v);
  if (s.reads_state()) {
    first.fill(p.initial_kv, p.initial_k_sum);
  }
}

void forward_run::run(int strategy) {
  verb_table const& verbs = v.verbs(strategy, element);
  operand = verbs.forward_operand;
  verbs.forward(arguments());
}

call forward_run::arguments() {
  call c;
  c.executor = executor;
  c.eps = p.eps;
  c.layer_norm_eps = p.layer_norm_eps;
  c.causal = p.causal;
  c.offsets = offsets.view();
  c.heads = s.tiled ? linattn::head_map::tiled : linattn::head_map::grouped;
  c.parameters = parameters.views();
  c.q = q.view();
  c.k = k.view();
  c.v = values.view();
  c.out = out.view();
  if (saves_denominator()) {
    c.denominator = denominator.view();
  }
  if (s.reads_state()) {
    c.initial_state = first.view();
  }
  if (s.writes_state()) {
    c.final_state = final_memory().view();
  }
  return c;
}

void forward_run::check(forward_result const& want) const {
  CHECK_WITHIN(out.gather(), want.out, precision_of(p, element, operand));
  if (saves_denominator()) {
    CHECK_WITHIN(denominator.gather(), want.denominator, precision_of(p, wide, operand));
  }
  if (s.writes_state()) {
    CHECK_WITHIN(final_memory().kv(), want.kv, precision_of(p, wide, operand));
    CHECK_WITHIN(final_memory().k_sum(), want.k_sum, precision_of(p, wide, operand));
  }
  CHECK(out.canaries_intact());
  CHECK(denominator.canaries_intact());
  CHECK((saves_denominator() || denominator.untouched()));
  CHECK(first.canaries_intact());
  CHECK(last.canaries_intact());
  if (s.state == state_use::initial || s.state == state_use::both) {
    CHECK(first.kv() == p.initial_kv);
    CHECK(first.k_sum() == p.initial_k_sum);
  }
}

bool same_bits(forward_run const& a, forward_run const& b) {
  return a.out.memory() == b.out.memory() && a.denominator.memory() == b.denominator.memory() &&
         a.final_memory() == b.final_memory();
}

backward_run::backward_run(variant const& v, setup const& s, problem const& p, element_kind element)
    : forward(v, s, p, element),
      grad_out(element, s.order, p.batch, p.heads, p.time, p.value_dim),
      grad_q(element, s.order, p.batch, p.heads, p.time, p.head_dim),
      grad_k(element, s.order, p.batch, p.kv_heads, p.time, p.head_dim),
      grad_v(element, s.order, p.batch, p.kv_heads, p.time, p.value_dim),
      grad_last(forward.wide, v.feature_dim, p.sequences(), p.kv_heads, p.value_dim, s.layout,
                s.state == state_use::pool),
      grad_first(forward.wide, v.feature_dim, p.sequences(), p.kv_heads, p.value_dim, s.layout,
                 s.state == state_use::pool) {
  grad_out.fill(p.grad_out);
  if (s.writes_state()) {
    grad_last.fill(p.grad_final_kv, p.grad_final_k_sum);
  }
}

call backward_run::arguments() {
  call c = forward.arguments();
  if (!forward.s.save_denominator) {
    c.out = {};
    c.denominator = {};
  }
  c.final_state = {};
  c.grad_out = grad_out.view();
  c.grad_q = grad_q.view();
  c.grad_k = grad_k.view();
  c.grad_v = grad_v.view();
  c.grads = forward.parameters.grad_views();
  if (forward.s.reads_state()) {
    c.grad_initial_state = grad_initial().view();
  }
  if (forward.s.writes_state()) {
    c.grad_final_state = grad_last.view();
  }
  return c;
}

void backward_run::run(int strategy) {
  if (forward.s.save_denominator) {
    forward.run(strategy);
    if (forward.s.reads_state()) {
      forward.first.fill(forward.p.initial_kv, forward.p.initial_k_sum);
    }
  }
  verb_table const& verbs = forward.v.verbs(strategy, forward.element);
  operand = verbs.backward_operand;
  verbs.backward(arguments());
}

void backward_run::check() const {
  problem const& p = forward.p;
  element_kind const element = forward.element;
  element_kind const wide = forward.wide;
  backward_result const want = oracle_backward(p);
  backward_result const saved = forward.s.save_denominator ? oracle_backward(p, forward.out.gather()) : want;
  check_gradient("grad_q", p, grad_q.gather(), want.grad_q, saved.grad_q, element, operand);
  check_gradient("grad_k", p, grad_k.gather(), want.grad_k, saved.grad_k, element, operand);
  check_gradient("grad_v", p, grad_v.gather(), want.grad_v, saved.grad_v, element, operand);
  CHECK(grad_q.canaries_intact());
  CHECK(grad_k.canaries_intact());
  CHECK(grad_v.canaries_intact());
  CHECK(grad_first.canaries_intact());
  CHECK(grad_last.canaries_intact());
  if (forward.s.reads_state()) {
    check_gradient("grad_initial_state.kv", p, grad_initial().kv(), want.grad_kv, saved.grad_kv, wide, operand);
    check_gradient("grad_initial_state.k_sum", p, grad_initial().k_sum(), want.grad_k_sum, saved.grad_k_sum, wide,
                   operand);
  }
  parameter_set const& parameters = forward.parameters;
  std::vector<tracked_vector const*> gammas{&want.grad_gamma_q}, saved_gammas{&saved.grad_gamma_q};
  std::vector<tracked_vector const*> betas{&want.grad_beta_q}, saved_betas{&saved.grad_beta_q};
  if (parameters.shared) {
    gammas.push_back(&want.grad_gamma_k);
    saved_gammas.push_back(&saved.grad_gamma_k);
    betas.push_back(&want.grad_beta_k);
    saved_betas.push_back(&saved.grad_beta_k);
  } else {
    check_parameter("gamma_k", p, parameters.gamma_k, wide, operand, {&want.grad_gamma_k}, {&saved.grad_gamma_k});
    check_parameter("beta_k", p, parameters.beta_k, wide, operand, {&want.grad_beta_k}, {&saved.grad_beta_k});
  }
  check_parameter("gamma_q", p, parameters.gamma_q, wide, operand, gammas, saved_gammas);
  check_parameter("beta_q", p, parameters.beta_q, wide, operand, betas, saved_betas);
}

bool same_bits(backward_run const& a, backward_run const& b) {
  return a.grad_q.memory() == b.grad_q.memory() && a.grad_k.memory() == b.grad_k.memory() &&
         a.grad_v.memory() == b.grad_v.memory() && a.grad_initial() == b.grad_initial() &&
         a.forward.parameters.gamma_q == b.forward.parameters.gamma_q &&
         a.forward.parameters.beta_q == b.forward.parameters.beta_q &&
         a.forward.parameters.gamma_k == b.forward.parameters.gamma_k &&
         a.forward.parameters.beta_k == b.forward.parameters.beta_k;
}

}  // namespace linattn_test
