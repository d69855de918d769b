// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// forward_run, step_run and backward_run: a problem laid out in guarded memory as a setup says, the verb called on the
// CPU, and every result held against the oracle.
#ifndef LINATTN_TESTS_SUPPORT_RUN_HPP
#define LINATTN_TESTS_SUPPORT_RUN_HPP

#include "support/bound_map.hpp"
#include "support/setup.hpp"
#include "support/state_memory.hpp"
#include "support/tensor.hpp"
#include "support/tolerance.hpp"

#include <linattn/linattn.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace linattn_test {

/// Packed offsets as the caller would hold them.
class offset_memory {
 public:
  offset_memory(setup const& s, problem const& p) : wide_(s.wide_offsets), offsets_(p.offsets) {
    narrow_.assign(offsets_.begin(), offsets_.end());
  }
  [[nodiscard]] linattn::sequence_offsets view() const {
    if (offsets_.empty()) {
      return {};
    }
    if (wide_) {
      return std::span<std::int64_t const>(offsets_);
    }
    return std::span<std::int32_t const>(narrow_);
  }

 private:
  bool wide_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int32_t> narrow_;
};

inline linattn::cpu_executor executor_of(setup const& s) {
  linattn::cpu_executor executor{};
  executor.threads = s.threads;
  return executor;
}

inline linattn::head_map head_map_of(setup const& s) {
  return s.tiled ? linattn::head_map::tiled : linattn::head_map::grouped;
}

inline memory_order kv_order(setup const& s) { return s.broadcast_kv ? memory_order::broadcast : s.order; }

template <class Attention>
Attention make_attention(problem const& p, bound_map<typename Attention::map_type> const& bound) {
  Attention attn{};
  attn.map = bound.map;
  if constexpr (requires { attn.normalizer.eps; }) {
    attn.normalizer.eps = p.eps;
  }
  return attn;
}

template <class Attention>
struct forward_run {
  using element = typename Attention::element_type;
  using accumulator = typename Attention::accumulator_type;
  using map_type = typename Attention::map_type;
  static constexpr linattn::element_kind kind = linattn::element_kind_of<element>;
  static constexpr linattn::element_kind wide_kind = linattn::element_kind_of<accumulator>;

  forward_run(setup const& a_setup, problem const& a_problem)
      : s(a_setup),
        p(a_problem),
        bound(p),
        offsets(s, p),
        q(s.order, p.batch, p.heads, p.time, p.head_dim),
        k(kv_order(s), p.batch, p.kv_heads, p.time, p.head_dim),
        v(kv_order(s), p.batch, p.kv_heads, p.time, p.value_dim),
        out(s.order, p.batch, p.heads, p.time, p.value_dim),
        denominator(s.order, p.batch, p.heads, p.time, 1),
        first(p.sequences(), p.kv_heads, p.value_dim, s.layout, s.state == state_use::pool),
        last(p.sequences(), p.kv_heads, p.value_dim, s.layout, s.state == state_use::pool) {
    q.fill(p.q);
    k.fill(p.k);
    v.fill(p.v);
    if (s.reads_state()) {
      first.fill(p.initial_kv, p.initial_k_sum);
    }
  }

  typename Attention::forward_args args() {
    typename Attention::forward_args a{};
    a.q = q.view();
    a.k = k.view();
    a.v = v.view();
    a.out = out.view();
    if (saves_denominator()) {
      a.denominator = denominator.row_view();
    }
    if (s.reads_state()) {
      a.initial_state = first.view();
    }
    if (s.writes_state()) {
      a.final_state = final_memory().view();
    }
    a.causal = p.causal;
    a.cu_seqlens = offsets.view();
    a.heads = head_map_of(s);
    return a;
  }

  [[nodiscard]] bool saves_denominator() const {
    return s.save_denominator && Attention::normalizer_type::needs_denominator;
  }
  state_memory<map_type, accumulator>& final_memory() {
    return s.state == state_use::in_place || s.state == state_use::pool ? first : last;
  }

  void run() { linattn::forward(executor_of(s), make_attention<Attention>(p, bound), args()); }

  void check(forward_result const& want) {
    CHECK_WITHIN(out.gather(), want.out, precision_of(p, kind));
    if (saves_denominator()) {
      CHECK_WITHIN(denominator.gather(), want.denominator, precision_of(p, wide_kind));
    }
    if (s.writes_state()) {
      CHECK_WITHIN(final_memory().kv(), want.kv, precision_of(p, wide_kind));
      CHECK_WITHIN(final_memory().k_sum(), want.k_sum, precision_of(p, wide_kind));
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

  setup s;
  problem const& p;
  bound_map<map_type> bound;
  offset_memory offsets;
  tensor<element> q, k, v, out;
  tensor<accumulator> denominator;
  state_memory<map_type, accumulator> first, last;
};

template <class Attention>
struct backward_run {
  using forward_type = forward_run<Attention>;
  using element = typename forward_type::element;
  using accumulator = typename forward_type::accumulator;
  using map_type = typename forward_type::map_type;

  backward_run(setup const& s, problem const& p)
      : forward(s, p),
        grad_out(s.order, p.batch, p.heads, p.time, p.value_dim),
        grad_q(s.order, p.batch, p.heads, p.time, p.head_dim),
        grad_k(s.order, p.batch, p.kv_heads, p.time, p.head_dim),
        grad_v(s.order, p.batch, p.kv_heads, p.time, p.value_dim),
        grad_last(p.sequences(), p.kv_heads, p.value_dim, s.layout, s.state == state_use::pool),
        grad_first(p.sequences(), p.kv_heads, p.value_dim, s.layout, s.state == state_use::pool) {
    grad_out.fill(p.grad_out);
    if (s.writes_state()) {
      grad_last.fill(p.grad_final_kv, p.grad_final_k_sum);
    }
  }

  typename Attention::backward_args args() {
    setup const& s = forward.s;
    typename Attention::backward_args a{};
    a.q = forward.q.view();
    a.k = forward.k.view();
    a.v = forward.v.view();
    if (s.save_denominator) {
      a.out = forward.out.view();
      if (forward.saves_denominator()) {
        a.denominator = forward.denominator.row_view();
      }
    }
    a.grad_out = grad_out.view();
    a.grad_q = grad_q.view();
    a.grad_k = grad_k.view();
    a.grad_v = grad_v.view();
    if constexpr (HasParameters<map_type>) {
      a.grad_map = forward.bound.grads;
    }
    if (s.reads_state()) {
      a.initial_state = forward.first.view();
      a.grad_initial_state = grad_initial().view();
    }
    if (s.writes_state()) {
      a.grad_final_state = grad_last.view();
    }
    a.causal = forward.p.causal;
    a.cu_seqlens = forward.offsets.view();
    a.heads = head_map_of(s);
    return a;
  }

  /// In place: the gradient by the initial state replaces the one by the final state.
  state_memory<map_type, accumulator>& grad_initial() {
    bool const in_place = forward.s.state == state_use::in_place || forward.s.state == state_use::pool;
    return in_place ? grad_last : grad_first;
  }

  /// If the setup saves them, forward() computes out and denominator first; its state is then put back.
  void run() {
    if (forward.s.save_denominator) {
      forward.run();
      if (forward.s.reads_state()) {
        forward.first.fill(forward.p.initial_kv, forward.p.initial_k_sum);
      }
    }
    linattn::backward(executor_of(forward.s), make_attention<Attention>(forward.p, forward.bound), args());
  }

  void check() {
    problem const& p = forward.p;
    backward_result want = oracle_backward(p);
    backward_result saved = want;
    if (forward.s.save_denominator) {
      saved = oracle_backward(p, forward.out.gather());
    }
    check_one("grad_q", grad_q.gather(), want.grad_q, saved.grad_q, forward_type::kind);
    check_one("grad_k", grad_k.gather(), want.grad_k, saved.grad_k, forward_type::kind);
    check_one("grad_v", grad_v.gather(), want.grad_v, saved.grad_v, forward_type::kind);
    CHECK(grad_q.canaries_intact());
    CHECK(grad_k.canaries_intact());
    CHECK(grad_v.canaries_intact());
    CHECK(grad_first.canaries_intact());
    CHECK(grad_last.canaries_intact());
    if (forward.s.reads_state()) {
      check_one("grad_initial_state.kv", grad_initial().kv(), want.grad_kv, saved.grad_kv, forward_type::wide_kind);
      check_one("grad_initial_state.k_sum", grad_initial().k_sum(), want.grad_k_sum, saved.grad_k_sum,
                forward_type::wide_kind);
    }
    if constexpr (HasParameters<map_type>) {
      auto& bound = forward.bound;
      bool const shared = bound.shared;
      check_parameter("gamma_q", bound.gamma_q, want.grad_gamma_q, saved.grad_gamma_q, want.grad_gamma_k, shared);
      check_parameter("beta_q", bound.beta_q, want.grad_beta_q, saved.grad_beta_q, want.grad_beta_k, shared);
      if (!shared) {
        check_parameter("gamma_k", bound.gamma_k, want.grad_gamma_k, saved.grad_gamma_k, {}, false);
        check_parameter("beta_k", bound.beta_k, want.grad_beta_k, saved.grad_beta_k, {}, false);
      }
    }
  }

  forward_type forward;
  tensor<element> grad_out, grad_q, grad_k, grad_v;
  state_memory<map_type, accumulator> grad_last, grad_first;

 private:
  /// What is computed from the rounded, saved output may differ from the rest as far as the two oracles do.
  void check_one(char const* name, std::vector<double> const& got, tracked_vector const& want,
                 tracked_vector const& saved, linattn::element_kind kind) {
    CAPTURE(name);
    std::vector<double> slack(want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      slack[i] = std::abs(want[i].value - saved[i].value);
    }
    precision precise = precision_of(forward.p, kind);
    precise.terms += static_cast<double>(forward.p.time);  // a sum over t of what is itself a sum over j
    CHECK_WITHIN(got, want, precise, slack);
  }

  /// The gradients add to what was there (0.5); rank 1 sums over the heads, shared views over both sides.
  template <class P>
  void check_parameter(char const* name, bound_parameter<P> const& parameter, tracked_vector const& want,
                       tracked_vector const& saved, tracked_vector const& other_side, bool shared) {
    CAPTURE(name);
    CHECK(parameter.canaries_intact());
    if (parameter.size() == 0) {
      return;
    }
    tracked_vector sums(parameter.size(), 0.5);
    std::vector<double> slack(parameter.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      sums[i % parameter.size()] += want[i];
      slack[i % parameter.size()] += std::abs(want[i].value - saved[i].value);
    }
    for (std::size_t i = 0; shared && i < other_side.size(); ++i) {
      sums[i % parameter.size()] += other_side[i];
      slack[i % parameter.size()] *= 2;
    }
    precision precise = precision_of(forward.p, linattn::element_kind_of<P>);
    precise.terms += static_cast<double>(forward.p.batch * forward.p.time * forward.p.heads);
    CHECK_WITHIN(parameter.gather(), sums, precise, slack);
  }
};

}  // namespace linattn_test

#endif
