// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The token-by-token calls: step() for every strategy, and the recurrent form's forward over sequences.
#ifndef LINATTN_CPU_RECURRENT_CALL_HPP
#define LINATTN_CPU_RECURRENT_CALL_HPP

#include <linattn/cpu/call.hpp>
#include <linattn/cpu/decode.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Attention, class Args>
token_problem<real_of<Attention>> token_problem_of(Attention const& attn, Args const& args) noexcept {
  using real = real_of<Attention>;
  token_problem<real> p;
  p.map = erase_map<real>(attn.map);
  p.normalizer = erase_normalizer<real>(attn.normalizer);
  p.shape = shape_of(args);
  p.q = erase_rows(args.q);
  p.k = erase_rows(args.k);
  p.v = erase_rows(args.v);
  p.out = erase_rows(args.out);
  if constexpr (requires { args.denominator; }) {
    p.denominator = erase_rows(args.denominator);
  }
  return p;
}

/// A stream's own state, for the forward over a sequence.
template <class Real>
state_slot<Real> take_own_state(arena& memory, int features, int padded_columns) noexcept {
  Real* const kv = memory.take<Real>(std::int64_t{features} * padded_columns);
  return {kv, padded_columns, 1, memory.take<Real>(features), 1};
}

/// How token-by-token work is spread: one task a (sequence, key head).
struct token_division {
  int workers = 1;
  std::size_t joint_bytes = 0;
  std::size_t worker_bytes = 0;
  bool cached = false;  // the states that are gone through again and again fit the second-level cache

  [[nodiscard]] std::size_t bytes() const noexcept {
    return joint_bytes + static_cast<std::size_t>(workers) * worker_bytes;
  }

  template <class Real>
  static token_division make(cpu_executor const& exec, token_problem<Real> const& p, bool own_state) noexcept {
    call_shape const& shape = p.shape;
    double const work = 2.0 * static_cast<double>(shape.batch * shape.heads * shape.time) * p.map.feature_dim *
                        (std::max)(1, shape.value_dim);
    arena counter;
    token_memory<Real> const count(counter, p.map, shape.value_dim, shape.group());
    if (own_state) {
      take_own_state<Real>(counter, p.map.feature_dim, count.padded);
    }
    std::int64_t const streams = shape.sequences * shape.kv_heads;
    double const state_bytes = static_cast<double>(p.map.feature_dim) * shape.value_dim * sizeof(Real);
    return {worker_count(exec, streams, work), joint_memory<Real>::bytes(p.map, shape), counter.taken(),
            static_cast<double>(own_state ? 1 : streams) * state_bytes <= cpu_tuning::cached_state_bytes};
  }
};

template <class Real, class F>
void for_each_token_stream(cpu_executor const& exec, token_problem<Real>& p, token_division const& parts, F&& f) {
  p.cached = parts.cached;
  call_memory const memory(exec, parts.bytes());
  arena joint_arena = memory.piece(0, parts.joint_bytes);
  joint_memory<Real>(joint_arena, p.map, p.shape).prepare(exec, parts.workers, p);
  call_shape const& shape = p.shape;
  for_each_task(exec, parts.workers, shape.sequences * shape.kv_heads, [&](std::int64_t task, int worker) {
    arena own = memory.piece(parts.joint_bytes + static_cast<std::size_t>(worker) * parts.worker_bytes,
                             parts.worker_bytes);
    token_memory<Real> buffers(own, p.map, shape.value_dim, shape.group());
    f(stream_id{task / shape.kv_heads, task % shape.kv_heads, 0}, buffers, own);
  });
}

template <class Real>
LINATTN_NEVER_INLINE void run_step(cpu_executor const& exec, token_problem<Real> p, state_tensors<Real> const& state) {
  auto const parts = token_division::make(exec, p, false);
  for_each_token_stream(exec, p, parts, [&](stream_id const& id, token_memory<Real>& buffers, arena&) {
    take_token(p, id, id.sequence, 0, slot_of(state, id.sequence, id.kv_head), buffers, false, false);
  });
}

template <class Real>
LINATTN_NEVER_INLINE void run_recurrent_forward(cpu_executor const& exec, token_problem<Real> p,
                                                state_tensors<Real const> const& initial_state,
                                                state_tensors<Real> const& final_state) {
  auto const parts = token_division::make(exec, p, true);
  for_each_token_stream(exec, p, parts, [&](stream_id const& id, token_memory<Real>& buffers, arena& memory) {
    int const features = p.map.feature_dim;
    state_slot<Real> const own = take_own_state<Real>(memory, features, buffers.padded);
    copy_state(features, slot_of(initial_state, id.sequence, id.kv_head), own, p.shape.value_dim);
    token_range const tokens = p.shape.sequence(id.sequence);
    bool const causal = p.shape.causal;
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      take_token(p, id, tokens.batch, t, own, buffers, false, !causal);
    }
    for (std::int64_t t = tokens.begin; !causal && t < tokens.end; ++t) {
      take_token(p, id, tokens.batch, t, own, buffers, true, false);
    }
    if (final_state.present()) {
      copy_state(features, state_slot<Real const>{own.kv, own.feature_stride, 1, own.k_sum, 1},
                 slot_of(final_state, id.sequence, id.kv_head), p.shape.value_dim);
    }
  });
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
