// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// step: decoding, one token of each batch row through its state.
#ifndef LINATTN_STEP_HPP
#define LINATTN_STEP_HPP

#include <linattn/attention.hpp>
#include <linattn/core/engine.hpp>
#include <linattn/validate.hpp>

namespace linattn::inline LINATTN_ABI {

/// Adds phi(k') v^T to the state and reads out = scale(den) * phi(q')^T S with the new state. Any strategy decodes so.
/// Forward-only: the gradients of a decode are those of forward(). Call backward() on its tokens, one or many, with the
/// state before them as initial_state.
/// Shapes    as in step_args; the state has a slot for each batch row and is updated in place.
/// Numerics  accumulates in accumulator_t; a row's result does not depend on the rest of the batch.
/// Sync      returns when done on a CPU executor; asynchronous on a stream.
/// Throws    shape_error before any work.
/// Source    docs/math.md; Transformers are RNNs arXiv:2006.16236.
template <Executor Exec, class Map, class S, class N, class E>
void step(Exec const& exec, attention<Map, S, N, E> const& attn,
          typename attention<Map, S, N, E>::state_type const& state,
          typename attention<Map, S, N, E>::step_args const& args) {
  static_assert(detail::HasEngine<Exec, S>,
                "linattn::step: no engine for this executor and strategy; those whose header is included are "
                "accepted; include <linattn/linattn.hpp> for the CPU");
  diagnostic report = validate(attn, state, args);
  if constexpr (Exec::reads_host_memory) {
    if (report.ok()) {
      detail::check_slots(report, state);
    }
  }
  detail::raise_unless_ok(report);
  engine<Exec, S>::step(exec, attn, state, args);
}

}  // namespace linattn::inline LINATTN_ABI

#endif
