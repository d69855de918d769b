// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a verb's validated arguments to passes over streams: the CPU's forward, backward and step for any schedule.
#ifndef LINATTN_CPU_CALL_HPP
#define LINATTN_CPU_CALL_HPP

#include <linattn/attention.hpp>
#include <linattn/core/concepts.hpp>
#include <linattn/cpu/decode.hpp>
#include <linattn/cpu/driver.hpp>
#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/forward_pass.hpp>
#include <linattn/cpu/gradient_pass.hpp>
#include <linattn/cpu/joint.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Attention>
using real_of = typename Attention::accumulator_type;

/// Prepared rows of q and k in working memory, for maps that see all heads at once; nothing for the others.
template <class Map, class Real>
struct joint_memory {
  Real* q = nullptr;
  Real* k = nullptr;

  joint_memory(arena& memory, call_shape const& shape) {
    if constexpr (Map::all_heads) {
      std::int64_t const rows = shape.batch * shape.time * Map::head_dim;
      q = memory.take<Real>(rows * shape.heads);
      k = memory.take<Real>(rows * shape.kv_heads);
    }
  }

  /// Fills the memory and lets q and k of the problem point at it.
  template <class Problem>
  void prepare(cpu_executor const& exec, int workers, Problem& p) const {
    if constexpr (Map::all_heads) {
      prepare_jointly(exec, workers, p.map, role::query, p.shape, p.shape.heads, p.q, q);
      prepare_jointly(exec, workers, p.map, role::key, p.shape, p.shape.kv_heads, p.k, k);
      point_at<Problem>(p);
    }
  }
  template <class Problem>
  void point_at(Problem& p) const noexcept {
    p.q = joint_rows(q, p.shape.time, p.shape.heads, Map::head_dim);
    p.k = joint_rows(k, p.shape.time, p.shape.kv_heads, Map::head_dim);
  }
};

template <class Attention>
forward_problem<typename Attention::map_type, real_of<Attention>> forward_problem_of(
    Attention const& attn, typename Attention::forward_args const& args, schedule const& plan) noexcept {
  using real = real_of<Attention>;
  return {attn.map,
          erase_normalizer<real>(attn.normalizer),
          shape_of(args),
          plan,
          erase_rows(args.q),
          erase_rows(args.k),
          erase_rows(args.v),
          erase_rows(args.out),
          erase_rows(args.denominator),
          args.initial_state,
          args.final_state};
}

template <class Map, class Real>
std::size_t joint_bytes(call_shape const& shape) noexcept {
  arena counter;
  joint_memory<Map, Real> const count(counter, shape);
  return counter.taken();
}

template <class Attention>
std::size_t forward_bytes(cpu_executor const& exec, Attention const& attn,
                          typename Attention::forward_args const& args, schedule const& plan) noexcept {
  using map = typename Attention::map_type;
  using real = real_of<Attention>;
  auto const problem = forward_problem_of(attn, args, plan);
  return joint_bytes<map, real>(problem.shape) +
         divide<map, real>(exec, problem.shape, plan, false, problem.needs_sums()).bytes();
}

template <class Attention>
void run_forward(cpu_executor const& exec, Attention const& attn, typename Attention::forward_args const& args,
                 schedule const& plan) {
  using map = typename Attention::map_type;
  using real = real_of<Attention>;
  if (args.out.size() == 0 && !args.denominator.present() && !args.final_state.present()) {
    return;
  }
  auto problem = forward_problem_of(attn, args, plan);
  auto const parts = divide<map, real>(exec, problem.shape, plan, false, problem.needs_sums());
  std::size_t const joint = joint_bytes<map, real>(problem.shape);
  call_memory const memory(exec, joint + parts.bytes());
  arena joint_arena = memory.piece(0, joint);
  joint_memory<map, real>(joint_arena, problem.shape).prepare(exec, parts.workers, problem);
  run_pass<forward_pass<map, real>>(exec, problem, parts, false, problem.needs_sums(), memory, joint);
}

template <class Attention>
gradient_problem<typename Attention::map_type, real_of<Attention>> gradient_problem_of(
    Attention const& attn, typename Attention::backward_args const& args, schedule const& plan) noexcept {
  using real = real_of<Attention>;
  return {attn.map,
          erase_normalizer<real>(attn.normalizer),
          shape_of(args),
          plan,
          erase_rows(args.q),
          erase_rows(args.k),
          erase_rows(args.v),
          erase_rows(args.out),
          erase_rows(args.denominator),
          erase_rows(args.grad_out),
          erase_rows(args.grad_q),
          erase_rows(args.grad_k),
          erase_rows(args.grad_v),
          args.initial_state,
          args.grad_final_state,
          args.grad_initial_state,
          nullptr,
          nullptr,
          0,
          plan.segments(shape_of(args).longest_sequence())};
}

/// The memory that outlives the passes of a backward.
template <class Map, class Real>
struct backward_memory {
  joint_memory<Map, Real> rows;
  joint_memory<Map, Real> grads;
  Real* row_factors = nullptr;  // (batch, head, time, 2)
  Real* partials = nullptr;        // (pass, stream, segment): [group + 1][gradient_size]
  Real* joint_partials = nullptr;  // per role and run of tokens: [heads][gradient_size]
  Real* joint_scratch = nullptr;   // per run: the rows of all heads
  std::int64_t partial_count = 0;

  backward_memory(arena& memory, call_shape const& shape, std::int64_t stream_segments)
      : rows(memory, shape), grads(memory, shape) {
    row_factors = memory.take<Real>(shape.batch * shape.heads * shape.time * 2);
    partial_count = 2 * stream_segments * (shape.group() + 1) * Map::gradient_size;
    partials = memory.take<Real>(partial_count);
    if constexpr (Map::all_heads) {
      joint_partials = memory.take<Real>(2 * joint_tasks(shape) * shape.heads * Map::gradient_size);
      joint_scratch = memory.take<Real>(joint_tasks(shape) * shape.heads * Map::head_dim);
    }
  }
};

template <class Map, class Real>
division<Map, Real> backward_division(cpu_executor const& exec, call_shape const& shape, schedule const& plan,
                                      bool denominator, std::size_t& shared_bytes) noexcept {
  auto const parts = divide<Map, Real>(exec, shape, plan, true, denominator);
  arena counter;
  backward_memory<Map, Real> const count(counter, shape,
                                         parts.streams.size() * plan.segments(shape.longest_sequence()));
  shared_bytes = counter.taken();
  return parts;
}

template <class Map, class Real>
bool gradients_need_sums(gradient_problem<Map, Real> const& p) noexcept {
  return p.normalizer.needs_denominator || p.grad_final_state.k_sum.present() || p.grad_initial_state.k_sum.present();
}

template <class Attention>
std::size_t backward_bytes(cpu_executor const& exec, Attention const& attn,
                           typename Attention::backward_args const& args, schedule const& plan) noexcept {
  auto const problem = gradient_problem_of(attn, args, plan);
  std::size_t shared = 0;
  auto const parts = backward_division<typename Attention::map_type, real_of<Attention>>(
      exec, problem.shape, plan, gradients_need_sums(problem), shared);
  return shared + parts.bytes();
}

/// Adds the partial sums, head by head in a fixed order, to the user's gradient views. Streams of a backward are
/// (sequence, key head).
template <class Map, class Real, class Gradients>
void reduce_partials(gradient_problem<Map, Real> const& p, Gradients const& gradients) {
  if constexpr (Map::gradient_size > 0 && !Map::all_heads) {
    call_shape const& shape = p.shape;
    auto const reduce = [&](role r, std::int64_t head, std::int64_t kv_head, int pass, int member) {
      double sums[Map::gradient_size] = {};
      for (std::int64_t n = 0; n < shape.sequences; ++n) {
        for (std::int64_t segment = 0; segment < p.segments; ++segment) {
          Real const* const part =
              p.partial(pass, n * shape.kv_heads + kv_head, segment) + std::int64_t{member} * Map::gradient_size;
          for (int i = 0; i < Map::gradient_size; ++i) {
            sums[i] += static_cast<double>(part[i]);
          }
        }
      }
      p.map.accumulate(gradients, r, static_cast<int>(head), static_cast<double const*>(sums));
    };
    for (std::int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      for (int member = 0; member < shape.group(); ++member) {
        reduce(role::query, shape.query_head(kv_head, member), kv_head, 0, member);
      }
      reduce(role::key, kv_head, kv_head, 1, shape.group());
    }
  }
}

/// The pass after backward for maps that see all heads: rows' gradients, parameter sums.
template <class Map, class Real, class Gradients>
void finish_joint_gradients(cpu_executor const& exec, int workers, gradient_problem<Map, Real> const& user,
                            backward_memory<Map, Real> const& m, Gradients const& gradients) {
  if constexpr (Map::all_heads) {
    call_shape const& shape = user.shape;
    std::int64_t const runs = joint_tasks(shape);
    for (role const r : {role::query, role::key}) {
      bool const query = r == role::query;
      std::int64_t const heads = query ? shape.heads : shape.kv_heads;
      Real* const partials = m.joint_partials + (query ? 0 : runs * shape.heads * Map::gradient_size);
      std::fill(partials, partials + runs * heads * Map::gradient_size, Real(0));
      prepare_backward_jointly(exec, workers, user.map, r, shape, heads, query ? user.q : user.k,
                               query ? m.grads.q : m.grads.k, query ? user.grad_q : user.grad_k, partials,
                               m.joint_scratch);
      for (std::int64_t head = 0; head < heads; ++head) {
        double sums[Map::gradient_size] = {};
        for (std::int64_t run = 0; run < runs; ++run) {
          for (int i = 0; i < Map::gradient_size; ++i) {
            sums[i] += static_cast<double>(partials[(run * heads + head) * Map::gradient_size + i]);
          }
        }
        user.map.accumulate(gradients, r, static_cast<int>(head), static_cast<double const*>(sums));
      }
    }
  }
}

template <class Attention>
void run_backward(cpu_executor const& exec, Attention const& attn, typename Attention::backward_args const& args,
                  schedule const& plan) {
  using map = typename Attention::map_type;
  using real = real_of<Attention>;
  if (args.grad_q.size() == 0 && args.grad_k.size() == 0 && args.grad_v.size() == 0 &&
      !args.grad_initial_state.present()) {
    return;
  }
  auto const user = gradient_problem_of(attn, args, plan);
  bool const sums = gradients_need_sums(user);
  std::size_t shared = 0;
  auto const parts = backward_division<map, real>(exec, user.shape, plan, sums, shared);
  call_memory const memory(exec, shared + parts.bytes());
  arena shared_arena = memory.piece(0, shared);
  backward_memory<map, real> const m(shared_arena, user.shape, parts.streams.size() * user.segments);

  auto problem = user;
  problem.row_factors = m.row_factors;
  problem.partials = m.partials;
  problem.streams = parts.streams.size();
  std::fill(m.partials, m.partials + m.partial_count, real(0));
  m.rows.prepare(exec, parts.workers, problem);
  if constexpr (map::all_heads) {
    problem.grad_q = joint_rows(m.grads.q, user.shape.time, user.shape.heads, map::head_dim);
    problem.grad_k = joint_rows(m.grads.k, user.shape.time, user.shape.kv_heads, map::head_dim);
  }
  run_pass<query_gradient_pass<map, real>>(exec, problem, parts, true, sums, memory, shared);
  run_pass<key_gradient_pass<map, real>>(exec, problem, parts, true, sums, memory, shared);
  reduce_partials(problem, args.grad_map);
  finish_joint_gradients(exec, parts.workers, user, m, args.grad_map);
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
