// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What each verb requires of its arguments. validate() never throws and touches no element; the verbs call it first and
// turn a report into a shape_error, so nothing is half-written.
#ifndef LINATTN_VALIDATE_HPP
#define LINATTN_VALIDATE_HPP

#include <linattn/attention.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/validate.hpp>

#include <array>
#include <cstdint>

namespace linattn::inline LINATTN_ABI {
namespace detail {

/// B, H, G, T, V of a call, and the number of sequences (B, or those packed in the one batch row).
struct problem_shape {
  std::int64_t batch = 0, heads = 0, kv_heads = 0, time = 0, value_dim = 0, sequences = 0;
};

inline bool check_head_dim(diagnostic& report, erased_view const& view, int head_dim) noexcept {
  if (view.extents[3] != head_dim) {
    return report.fail(view.name, " has head_dim ", view.extents[3], ", but this attention was instantiated for ",
                       head_dim, "; choose the map at run time with linattn::dispatch");
  }
  return true;
}

/// q, k, v fit each other; fills `shape`.
inline bool check_inputs(diagnostic& report, erased_view const& q, erased_view const& k, erased_view const& v,
                         int head_dim, sequence_offsets const& offsets, problem_shape& shape) noexcept {
  shape = {q.extents[0], q.extents[1], k.extents[1], q.extents[2], v.extents[3], q.extents[0]};
  if (!check_head_dim(report, q, head_dim) || !check_head_dim(report, k, head_dim) || !check_view(report, q) ||
      !check_view(report, k) || !check_view(report, v)) {
    return false;
  }
  std::int64_t const rows[4] = {shape.batch, shape.kv_heads, shape.time, head_dim};
  std::int64_t const values[4] = {shape.batch, shape.kv_heads, shape.time, shape.value_dim};
  if (!check_extents(report, k, rows, "(batch, kv_heads, time, head_dim)") ||
      !check_extents(report, v, values, "(batch, kv_heads, time, value_dim)")) {
    return false;
  }
  if (shape.kv_heads == 0 ? shape.heads != 0 : shape.heads % shape.kv_heads != 0) {
    return report.fail("q has ", shape.heads, " heads and k has ", shape.kv_heads,
                       "; the query heads must be a multiple of the key heads; check the head counts");
  }
  constexpr std::int64_t limit = std::int64_t{1} << 30;  // so that a padded size is still an int
  if (shape.heads > limit || shape.value_dim > limit) {
    return report.fail("q has ", shape.heads, " heads and v has value_dim ", shape.value_dim,
                       "; up to 2^30 are accepted; check the sizes");
  }
  if (offsets.present()) {
    if (shape.batch != 1) {
      return report.fail("cu_seqlens is given with a batch of ", shape.batch,
                         "; packed sequences lie in a batch of 1; use view_thd");
    }
    shape.sequences = offsets.sequences();
  }
  return true;
}

/// An output of the given extents: its own memory, no overlap with any of `others`. Rows are contiguous; what has one
/// number a row (rank 3) may have any strides.
template <std::size_t Count>
bool check_result(diagnostic& report, erased_view const& view, std::int64_t const* expected, char const* description,
                  std::array<erased_view, Count> const& others) noexcept {
  if (!check_view(report, view, view.rank == 4) || !check_extents(report, view, expected, description) ||
      !check_output(report, view)) {
    return false;
  }
  for (erased_view const& other : others) {
    if (!check_disjoint(report, view, other)) {
      return false;
    }
  }
  return true;
}

/// A state has a slot for each sequence, the map's features and the call's values.
template <class Map, class Real>
bool check_state(diagnostic& report, char const* kv_name, char const* k_sum_name, state_view<Map, Real> const& state,
                 problem_shape const& shape, bool needs_denominator) noexcept {
  erased_view const kv = erase(kv_name, state.kv);
  erased_view const k_sum = erase(k_sum_name, state.k_sum);
  std::int64_t const slots = kv.extents[0];
  std::int64_t const expected[4] = {slots, shape.kv_heads, Map::feature_dim, shape.value_dim};
  if (!check_view(report, kv, false) ||
      !check_extents(report, kv, expected, "(slots, kv_heads, feature_dim, value_dim)")) {
    return false;
  }
  if ((state.k_sum.present() || needs_denominator) &&
      (!check_view(report, k_sum, false) ||
       !check_extents(report, k_sum, expected, "(slots, kv_heads, feature_dim)"))) {
    return false;
  }
  if (state.slots.empty()) {
    if (slots != shape.sequences) {
      return report.fail(kv_name, " has ", slots, " slots; ", shape.sequences,
                         " are accepted, one a sequence; pass `slots` to use a pool");
    }
  } else if (static_cast<std::int64_t>(state.slots.size()) != shape.sequences) {
    return report.fail(kv_name, " has ", state.slots.size(), " slot indices; ", shape.sequences,
                       " are accepted, one a sequence; check the batch");
  }
  return true;
}

template <class Map, class Real, std::size_t Count>
bool check_state_output(diagnostic& report, char const* kv_name, char const* k_sum_name,
                        state_view<Map, Real> const& state, problem_shape const& shape, bool needs_denominator,
                        std::array<erased_view, Count> const& others) noexcept {
  if (!check_state(report, kv_name, k_sum_name, state, shape, needs_denominator)) {
    return false;
  }
  erased_view const kv = erase(kv_name, state.kv);
  erased_view const k_sum = erase(k_sum_name, state.k_sum);
  if (!check_output(report, kv) || !check_output(report, k_sum) || !check_disjoint(report, kv, k_sum)) {
    return false;
  }
  for (erased_view const& other : others) {
    if (!check_disjoint(report, kv, other) || !check_disjoint(report, k_sum, other)) {
      return false;
    }
  }
  return true;
}

/// An output shares no memory with a state that is read.
template <class Map, class Real>
bool check_apart(diagnostic& report, erased_view const& output, char const* kv_name, char const* k_sum_name,
                 state_view<Map, Real> const& state) noexcept {
  return check_disjoint(report, output, erase(kv_name, state.kv)) &&
         check_disjoint(report, output, erase(k_sum_name, state.k_sum));
}

/// The states are the same memory, element by element (in place), or share none.
template <class Map, class Real>
bool check_in_place(diagnostic& report, state_view<Map, Real const> const& in, state_view<Map, Real> const& out,
                    char const* in_name, char const* out_name) noexcept {
  auto const same = [](auto const& a, auto const& b) {
    bool equal = a.data == b.data;
    for (int i = 0; i < a.rank; ++i) {
      equal = equal && a.strides[i] == b.strides[i];
    }
    return equal;
  };
  bool const identical = same(in.kv, out.kv) && (same(in.k_sum, out.k_sum) || !in.k_sum.present()) &&
                         in.slots.data() == out.slots.data() && in.slots.size() == out.slots.size();
  if (identical) {
    return true;
  }
  return check_disjoint(report, erase(out_name, out.kv), erase(in_name, in.kv)) &&
         check_disjoint(report, erase(out_name, out.k_sum), erase(in_name, in.k_sum));
}

/// Slot indices, read only where the executor computes on host memory: in range and, for outputs, distinct.
template <class Map, class Real>
bool check_slots(diagnostic& report, state_view<Map, Real> const& state) noexcept {
  std::int64_t const slots = state.kv.extents[0];
  for (std::size_t n = 0; n < state.slots.size(); ++n) {
    if (state.slots[n] < 0 || state.slots[n] >= slots) {
      return report.fail("slot index ", state.slots[n], " of row ", n, "; slots 0 to ", slots - 1,
                         " are there; check the pool");
    }
    for (std::size_t m = 0; !std::is_const_v<Real> && m < n; ++m) {
      if (state.slots[m] == state.slots[n]) {
        return report.fail("rows ", m, " and ", n, " both own slot ", state.slots[n],
                           "; each row that is written needs a slot of its own; check the pool");
      }
    }
  }
  return true;
}

template <class Attention>
bool check_parameters(diagnostic& report, Attention const& attn, problem_shape const& shape) noexcept {
  attn.normalizer.check(report);
  attn.map.check(report, shape.heads, shape.kv_heads);
  return report.ok();
}

}  // namespace detail

/// What forward() would refuse; nothing is read through the views.
template <class Map, class S, class N, class E>
[[nodiscard]] diagnostic validate(attention<Map, S, N, E> const& attn,
                                  typename attention<Map, S, N, E>::forward_args const& args) noexcept {
  diagnostic report("forward");
  detail::problem_shape shape;
  auto const q = detail::erase("q", args.q);
  auto const k = detail::erase("k", args.k);
  auto const v = detail::erase("v", args.v);
  auto const out = detail::erase("out", args.out);
  if (!detail::check_inputs(report, q, k, v, Map::head_dim, args.cu_seqlens, shape) ||
      !detail::check_parameters(report, attn, shape)) {
    return report;
  }
  std::int64_t const rows[4] = {shape.batch, shape.heads, shape.time, shape.value_dim};
  if (!detail::check_result(report, out, rows, "(batch, heads, time, value_dim)", std::array{q, k, v})) {
    return report;
  }
  auto const denominator = detail::erase("denominator", args.denominator);
  if (args.denominator.present() && !detail::check_result(report, denominator, rows, "(batch, heads, time)",
                                                          std::array{q, k, v, out})) {
    return report;
  }
  if (args.initial_state.present()) {
    char const* const kv_name = "initial_state.kv";
    char const* const k_sum_name = "initial_state.k_sum";
    if (!detail::check_state(report, kv_name, k_sum_name, args.initial_state, shape, N::needs_denominator) ||
        !detail::check_apart(report, out, kv_name, k_sum_name, args.initial_state) ||
        !detail::check_apart(report, denominator, kv_name, k_sum_name, args.initial_state)) {
      return report;
    }
  }
  if (args.final_state.present() &&
      detail::check_state_output(report, "final_state.kv", "final_state.k_sum", args.final_state, shape,
                                 N::needs_denominator, std::array{q, k, v, out, denominator}) &&
      args.initial_state.present()) {
    detail::check_in_place(report, args.initial_state, args.final_state, "initial_state", "final_state");
  }
  return report;
}

/// What step() would refuse; nothing is read through the views.
template <class Map, class S, class N, class E>
[[nodiscard]] diagnostic validate(attention<Map, S, N, E> const& attn,
                                  typename attention<Map, S, N, E>::state_type const& state,
                                  typename attention<Map, S, N, E>::step_args const& args) noexcept {
  diagnostic report("step");
  detail::problem_shape shape;
  auto const q = detail::erase("q", args.q);
  auto const k = detail::erase("k", args.k);
  auto const v = detail::erase("v", args.v);
  if (!detail::check_inputs(report, q, k, v, Map::head_dim, {}, shape) ||
      !detail::check_parameters(report, attn, shape)) {
    return report;
  }
  if (shape.time != 1) {
    report.fail("q has time ", shape.time, "; a step takes 1 token; use forward with initial_state and final_state");
    return report;
  }
  std::int64_t const rows[4] = {shape.batch, shape.heads, 1, shape.value_dim};
  auto const out = detail::erase("out", args.out);
  if (detail::check_result(report, out, rows, "(batch, heads, 1, value_dim)", std::array{q, k, v})) {
    detail::check_state_output(report, "state.kv", "state.k_sum", state, shape, N::needs_denominator,
                               std::array{q, k, v, out});
  }
  return report;
}

/// What backward() would refuse; nothing is read through the views.
template <DifferentiableFeatureMap Map, class S, class N, class E>
[[nodiscard]] diagnostic validate(attention<Map, S, N, E> const& attn,
                                  typename attention<Map, S, N, E>::backward_args const& args) noexcept {
  diagnostic report("backward");
  detail::problem_shape shape;
  auto const q = detail::erase("q", args.q);
  auto const k = detail::erase("k", args.k);
  auto const v = detail::erase("v", args.v);
  if (!detail::check_inputs(report, q, k, v, Map::head_dim, args.cu_seqlens, shape) ||
      !detail::check_parameters(report, attn, shape)) {
    return report;
  }
  attn.map.check_gradients(args.grad_map, report, shape.heads, shape.kv_heads);
  std::int64_t const rows[4] = {shape.batch, shape.heads, shape.time, shape.value_dim};
  std::int64_t const queries[4] = {shape.batch, shape.heads, shape.time, Map::head_dim};
  std::int64_t const keys[4] = {shape.batch, shape.kv_heads, shape.time, Map::head_dim};
  std::int64_t const values[4] = {shape.batch, shape.kv_heads, shape.time, shape.value_dim};
  auto const grad_out = detail::erase("grad_out", args.grad_out);
  auto const out = detail::erase("out", args.out);
  auto const denominator = detail::erase("denominator", args.denominator);
  if (!report.ok() || !detail::check_view(report, grad_out) ||
      !detail::check_extents(report, grad_out, rows, "(batch, heads, time, value_dim)")) {
    return report;
  }
  if (args.out.present() != (args.denominator.present() || (args.out.present() && !N::needs_denominator))) {
    report.fail(args.out.present() ? "out is given without denominator" : "denominator is given without out",
                "; both or neither are accepted; save both in forward, or leave both out");
    return report;
  }
  if (args.out.present() && (!detail::check_view(report, out) ||
                             !detail::check_extents(report, out, rows, "(batch, heads, time, value_dim)"))) {
    return report;
  }
  if (args.denominator.present() && (!detail::check_view(report, denominator, false) ||
                                     !detail::check_extents(report, denominator, rows, "(batch, heads, time)"))) {
    return report;
  }
  auto const grad_q = detail::erase("grad_q", args.grad_q);
  auto const grad_k = detail::erase("grad_k", args.grad_k);
  auto const grad_v = detail::erase("grad_v", args.grad_v);
  std::array const inputs{q, k, v, grad_out, out, denominator};
  if (!detail::check_result(report, grad_q, queries, "(batch, heads, time, head_dim)", inputs) ||
      !detail::check_result(report, grad_k, keys, "(batch, kv_heads, time, head_dim)", inputs) ||
      !detail::check_result(report, grad_v, values, "(batch, kv_heads, time, value_dim)", inputs) ||
      !detail::check_disjoint(report, grad_q, grad_k) || !detail::check_disjoint(report, grad_q, grad_v) ||
      !detail::check_disjoint(report, grad_k, grad_v)) {
    return report;
  }
  if (args.initial_state.present() &&
      !detail::check_state(report, "initial_state.kv", "initial_state.k_sum", args.initial_state, shape,
                           N::needs_denominator)) {
    return report;
  }
  if (args.grad_final_state.present() &&
      !detail::check_state(report, "grad_final_state.kv", "grad_final_state.k_sum", args.grad_final_state, shape,
                           false)) {
    return report;
  }
  for (auto const& grad : {grad_q, grad_k, grad_v}) {
    if (!detail::check_apart(report, grad, "initial_state.kv", "initial_state.k_sum", args.initial_state) ||
        !detail::check_apart(report, grad, "grad_final_state.kv", "grad_final_state.k_sum", args.grad_final_state)) {
      return report;
    }
  }
  auto const kv = detail::erase("initial_state.kv", args.initial_state.kv);
  auto const k_sum = detail::erase("initial_state.k_sum", args.initial_state.k_sum);
  if (args.grad_initial_state.present() &&
      detail::check_state_output(report, "grad_initial_state.kv", "grad_initial_state.k_sum", args.grad_initial_state,
                                 shape, false, std::array{q, k, v, grad_out, out, denominator, grad_q, grad_k, grad_v,
                                                          kv, k_sum}) &&
      args.grad_final_state.present()) {
    detail::check_in_place(report, args.grad_final_state, args.grad_initial_state, "grad_final_state",
                           "grad_initial_state");
  }
  return report;
}

namespace detail {
/// Also what lies in host memory: packed offsets and slot indices.
template <class Args>
void check_host_memory(diagnostic& report, Args const& args, std::int64_t time) noexcept {
  if (!report.ok() || !args.cu_seqlens.check(report, time) || !check_slots(report, args.initial_state)) {
    return;
  }
  if constexpr (requires { args.final_state; }) {
    check_slots(report, args.final_state);
  } else if (check_slots(report, args.grad_final_state)) {
    check_slots(report, args.grad_initial_state);
  }
}
}  // namespace detail

}  // namespace linattn::inline LINATTN_ABI

#endif
