// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// forward: the output of an attention over whole sequences, and the states on either side of them.
#ifndef LINATTN_FORWARD_HPP
#define LINATTN_FORWARD_HPP

#include <linattn/attention.hpp>
#include <linattn/core/engine.hpp>
#include <linattn/validate.hpp>

namespace linattn::inline LINATTN_ABI {

/// out[t] = scale(den[t]) * num[t], num[t] = sum_{j in M(t)} score(<q'_t, k'_j>) v_j (plus the initial state's part),
/// den[t] the sum of the scores; M(t) = all j <= t of the sequence, or all j when not causal.
/// Shapes    as in forward_args; any strides, the last dimension contiguous; out aliases no input. T == 0 is legal.
/// Numerics  accumulates in accumulator_t; the same bits for the same input and policy, whatever the rest of the batch.
/// Sync      returns when done on a CPU executor; asynchronous on a stream.
/// Throws    shape_error before any work.
/// Source    docs/math.md; Based arXiv:2402.18668, ReBased arXiv:2402.10644.
template <Executor Exec, class Map, class S, class N, class E>
void forward(Exec const& exec, attention<Map, S, N, E> const& attn,
             typename attention<Map, S, N, E>::forward_args const& args) {
  static_assert(detail::HasEngine<Exec, S>,
                "linattn::forward: no engine for this executor and strategy; those whose header is included are "
                "accepted; include <linattn/linattn.hpp> for the CPU");
  diagnostic report = validate(attn, args);
  if constexpr (Exec::reads_host_memory) {
    detail::check_host_memory(report, args, args.q.extents[2]);
  }
  detail::raise_unless_ok(report);
  engine<Exec, S>::forward(exec, attn, args);
}

}  // namespace linattn::inline LINATTN_ABI

#endif
