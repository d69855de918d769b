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
token_problem<typename Attention::map_type, real_of<Attention>> token_problem_of(Attention const& attn,
                                                                                 Args const& args) noexcept {
  using real = real_of<Attention>;
  tensor_rows denominator{};
  if constexpr (requires { args.denominator; }) {
    denominator = erase_rows(args.denominator);
  }
  return {attn.map,           erase_normalizer<real>(attn.normalizer), shape_of(args), erase_rows(args.q),
          erase_rows(args.k), erase_rows(args.v),                      erase_rows(args.out), denominator};
}

/// A stream's own state, for the forward over a sequence.
template <class Map, class Real>
state_slot<Real> take_own_state(arena& memory, int padded_columns) noexcept {
  Real* const kv = memory.take<Real>(std::int64_t{Map::feature_dim} * padded_columns);
  return {kv, padded_columns, 1, memory.take<Real>(Map::feature_dim), 1};
}

/// How token-by-token work is spread: one task a (sequence, key head).
struct token_division {
  int workers = 1;
  std::size_t joint_bytes = 0;
  std::size_t worker_bytes = 0;

  [[nodiscard]] std::size_t bytes() const noexcept {
    return joint_bytes + static_cast<std::size_t>(workers) * worker_bytes;
  }

  template <class Map, class Real>
  static token_division make(cpu_executor const& exec, call_shape const& shape, bool own_state) noexcept {
    double const work = 2.0 * static_cast<double>(shape.batch * shape.heads * shape.time) * Map::feature_dim *
                        std::max(1, shape.value_dim);
    arena counter;
    token_memory<Map, Real> const count(counter, shape.value_dim, shape.group());
    if (own_state) {
      take_own_state<Map, Real>(counter, count.padded);
    }
    return {worker_count(exec, shape.sequences * shape.kv_heads, work), joint_bytes_of<Map, Real>(shape),
            counter.taken()};
  }

 private:
  template <class Map, class Real>
  static std::size_t joint_bytes_of(call_shape const& shape) noexcept {
    return detail::joint_bytes<Map, Real>(shape);
  }
};

template <class Map, class Real, class F>
void for_each_token_stream(cpu_executor const& exec, token_problem<Map, Real>& problem, token_division const& parts,
                           F&& f) {
  call_memory const memory(exec, parts.bytes());
  arena joint_arena = memory.piece(0, parts.joint_bytes);
  joint_memory<Map, Real>(joint_arena, problem.shape).prepare(exec, parts.workers, problem);
  call_shape const& shape = problem.shape;
  for_each_task(exec, parts.workers, shape.sequences * shape.kv_heads, [&](std::int64_t task, int worker) {
    arena own = memory.piece(parts.joint_bytes + static_cast<std::size_t>(worker) * parts.worker_bytes,
                             parts.worker_bytes);
    token_memory<Map, Real> buffers(own, shape.value_dim, shape.group());
    f(stream_id{task / shape.kv_heads, task % shape.kv_heads, 0}, buffers, own);
  });
}

template <class Attention>
void run_step(cpu_executor const& exec, Attention const& attn, typename Attention::state_type const& state,
              typename Attention::step_args const& args) {
  using map = typename Attention::map_type;
  using real = real_of<Attention>;
  auto problem = token_problem_of(attn, args);
  auto const parts = token_division::make<map, real>(exec, problem.shape, false);
  for_each_token_stream(exec, problem, parts, [&](stream_id const& id, token_memory<map, real>& buffers, arena&) {
    take_token(problem, id, id.sequence, 0, slot_of(state, id.sequence, id.kv_head), buffers, false, false);
  });
}

template <class Attention>
void run_recurrent_forward(cpu_executor const& exec, Attention const& attn,
                           typename Attention::forward_args const& args) {
  using map = typename Attention::map_type;
  using real = real_of<Attention>;
  if (args.out.size() == 0 && !args.denominator.present() && !args.final_state.present()) {
    return;
  }
  auto problem = token_problem_of(attn, args);
  auto const parts = token_division::make<map, real>(exec, problem.shape, true);
  for_each_token_stream(
      exec, problem, parts, [&](stream_id const& id, token_memory<map, real>& buffers, arena& memory) {
        state_slot<real> const own = take_own_state<map, real>(memory, buffers.padded);
        copy_state<map>(slot_of(args.initial_state, id.sequence, id.kv_head), own, problem.shape.value_dim);
        token_range const tokens = problem.shape.sequence(id.sequence);
        bool const causal = problem.shape.causal;
        for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
          take_token(problem, id, tokens.batch, t, own, buffers, false, !causal);
        }
        for (std::int64_t t = tokens.begin; !causal && t < tokens.end; ++t) {
          take_token(problem, id, tokens.batch, t, own, buffers, true, false);
        }
        if (args.final_state.present()) {
          copy_state<map>(state_slot<real const>{own.kv, own.feature_stride, 1, own.k_sum, 1},
                          slot_of(args.final_state, id.sequence, id.kv_head), problem.shape.value_dim);
        }
      });
}

/// Bytes that step and the recurrent forward take.
template <class Attention, class Args>
std::size_t token_bytes(cpu_executor const& exec, Attention const& attn, Args const& args, bool own_state) noexcept {
  auto const problem = token_problem_of(attn, args);
  return token_division::make<typename Attention::map_type, real_of<Attention>>(exec, problem.shape, own_state).bytes();
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
