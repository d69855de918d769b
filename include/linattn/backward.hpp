// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// backward: the gradients of forward, of its inputs, its initial state and the map's parameters.
#ifndef LINATTN_BACKWARD_HPP
#define LINATTN_BACKWARD_HPP

#include <linattn/attention.hpp>
#include <linattn/core/engine.hpp>
#include <linattn/validate.hpp>

namespace linattn::inline LINATTN_ABI {

/// Overwrites grad_q, grad_k, grad_v and grad_initial_state; adds to the views in grad_map.
/// Shapes    as in backward_args, each gradient like its tensor; with fewer key heads, grad_k and grad_v are sums over
///           each group. out and denominator, saved by forward, spare their recomputation.
/// Numerics  accumulates in accumulator_t; the same bits for the same input and policy: sums have a fixed order.
/// Sync      returns when done on a CPU executor; asynchronous on a stream.
/// Throws    shape_error before any work.
/// Source    docs/math.md.
template <Executor Exec, class Map, class S, class N, class E>
void backward(Exec const& exec, attention<Map, S, N, E> const& attn,
              typename attention<Map, S, N, E>::backward_args const& args) {
  static_assert(DifferentiableFeatureMap<Map>,
                "linattn::backward: the feature map is forward-only; differentiable maps are accepted; add "
                "score_grad(), prepare_backward() and a `gradients` type (see docs/extending.md)");
  static_assert(detail::HasEngine<Exec, S>,
                "linattn::backward: no engine for this executor and strategy; those whose header is included are "
                "accepted; include <linattn/linattn.hpp> for the CPU");
  if constexpr (DifferentiableFeatureMap<Map>) {
    diagnostic report = validate(attn, args);
    if constexpr (Exec::reads_host_memory) {
      detail::check_host_memory(report, args, args.q.extents[2]);
    }
    detail::raise_unless_ok(report);
    engine<Exec, S>::backward(exec, attn, args);
  }
}

/// A step has no backward of its own: this overload says what takes its place.
template <Executor Exec, class Map, class S, class N, class E>
void backward(Exec const&, attention<Map, S, N, E> const&, typename attention<Map, S, N, E>::state_type const&,
              typename attention<Map, S, N, E>::step_args const&) {
  static_assert(
      sizeof(Exec) == 0,
      "linattn::backward: the state and arguments of a step; backward_args are accepted; call backward on the "
      "step's tokens, with the state before them as initial_state");
}

}  // namespace linattn::inline LINATTN_ABI

#endif
