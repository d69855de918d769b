// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a verb's validated arguments to passes over streams: the CPU's forward and backward for any schedule. The typed
// part is small: it erases the variant's types; the rest is compiled once for each accumulator type.
#ifndef LINATTN_CPU_CALL_HPP
#define LINATTN_CPU_CALL_HPP

#include <linattn/attention.hpp>
#include <linattn/cpu/driver.hpp>
#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/forward_pass.hpp>
#include <linattn/cpu/joint.hpp>
#include <linattn/cpu/key_gradient_pass.hpp>
#include <linattn/cpu/query_gradient_pass.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Attention>
using real_of = typename Attention::accumulator_type;

/// Prepared rows of q and k in working memory, for maps that see all heads at once; nothing for the others.
template <class Real>
struct joint_memory {
  Real* q = nullptr;
  Real* k = nullptr;

  joint_memory(arena& memory, map_ref<Real> const& map, call_shape const& shape) {
    if (map.all_heads) {
      std::int64_t const rows = shape.batch * shape.time * map.head_dim;
      q = memory.take<Real>(rows * shape.heads);
      k = memory.take<Real>(rows * shape.kv_heads);
    }
  }

  static std::size_t bytes(map_ref<Real> const& map, call_shape const& shape) noexcept {
    arena counter;
    joint_memory const count(counter, map, shape);
    return counter.taken();
  }

  [[nodiscard]] tensor_rows queries(call_shape const& shape, int head_dim) const noexcept {
    return joint_rows(q, shape.time, shape.heads, head_dim);
  }
  [[nodiscard]] tensor_rows keys(call_shape const& shape, int head_dim) const noexcept {
    return joint_rows(k, shape.time, shape.kv_heads, head_dim);
  }

  /// Fills the memory and lets q and k of the problem point at it.
  template <class Problem>
  void prepare(cpu_executor const& exec, int workers, Problem& p) const {
    if (p.map.all_heads) {
      prepare_jointly(exec, workers, p.map, role::query, p.shape, p.shape.heads, p.q, q);
      prepare_jointly(exec, workers, p.map, role::key, p.shape, p.shape.kv_heads, p.k, k);
      p.q = queries(p.shape, p.map.head_dim);
      p.k = keys(p.shape, p.map.head_dim);
    }
  }
};

template <class Attention>
forward_problem<real_of<Attention>> forward_problem_of(Attention const& attn,
                                                       typename Attention::forward_args const& args,
                                                       schedule const& plan) noexcept {
  using real = real_of<Attention>;
  forward_problem<real> p;
  p.map = erase_map<real>(attn.map);
  p.normalizer = erase_normalizer<real>(attn.normalizer);
  p.shape = shape_of(args);
  p.plan = plan;
  p.q = erase_rows(args.q);
  p.k = erase_rows(args.k);
  p.v = erase_rows(args.v);
  p.out = erase_rows(args.out);
  p.denominator = erase_rows(args.denominator);
  p.initial_state = erase_state(args.initial_state);
  p.final_state = erase_state(args.final_state);
  return p;
}

template <class Real>
pass_needs forward_needs(cpu_executor const& exec, forward_problem<Real> const& p) noexcept {
  return {.gradients = false, .denominator = p.needs_sums(), .pairs = exec.products == precision::fast};
}

/// Bytes of working memory that run_forward takes.
template <class Real>
std::size_t forward_bytes(cpu_executor const& exec, forward_problem<Real> const& p) noexcept {
  return joint_memory<Real>::bytes(p.map, p.shape) +
         divide(exec, p.map, p.shape, p.plan, forward_needs(exec, p)).bytes();
}

template <class Real>
LINATTN_NEVER_INLINE void run_forward(cpu_executor const& exec, forward_problem<Real> p) {
  pass_needs const needs = forward_needs(exec, p);
  auto const parts = divide(exec, p.map, p.shape, p.plan, needs);
  std::size_t const joint = joint_memory<Real>::bytes(p.map, p.shape);
  call_memory const memory(exec, joint + parts.bytes());
  arena joint_arena = memory.piece(0, joint);
  joint_memory<Real>(joint_arena, p.map, p.shape).prepare(exec, parts.workers, p);
  run_pass<forward_pass<Real>>(exec, p, parts, needs, memory, joint);
}

template <class Attention>
gradient_problem<real_of<Attention>> gradient_problem_of(Attention const& attn,
                                                         typename Attention::backward_args const& args,
                                                         schedule const& plan) noexcept {
  using real = real_of<Attention>;
  gradient_problem<real> p;
  p.map = erase_differentiable_map<real>(attn.map);
  p.normalizer = erase_normalizer<real>(attn.normalizer);
  p.shape = shape_of(args);
  p.plan = plan;
  p.q = erase_rows(args.q);
  p.k = erase_rows(args.k);
  p.v = erase_rows(args.v);
  p.out = erase_rows(args.out);
  p.denominator = erase_rows(args.denominator);
  p.grad_out = erase_rows(args.grad_out);
  p.grad_q = erase_rows(args.grad_q);
  p.grad_k = erase_rows(args.grad_k);
  p.grad_v = erase_rows(args.grad_v);
  p.initial_state = erase_state(args.initial_state);
  p.grad_final_state = erase_state(args.grad_final_state);
  p.grad_initial_state = erase_state(args.grad_initial_state);
  p.segments = plan.segments(p.shape.longest_sequence());
  return p;
}

/// The memory that outlives the passes of a backward.
template <class Real>
struct backward_memory {
  joint_memory<Real> rows;
  joint_memory<Real> grads;
  Real* row_factors = nullptr;     // (batch, head, time, 2)
  Real* partials = nullptr;        // (stream, segment): [group + 1][gradient_size]
  Real* joint_partials = nullptr;  // per role and run of tokens: [heads][gradient_size]
  Real* joint_scratch = nullptr;   // per run: the rows of all heads
  std::int64_t partial_count = 0;

  backward_memory(arena& memory, gradient_problem<Real> const& p, std::int64_t streams)
      : rows(memory, p.map, p.shape), grads(memory, p.map, p.shape) {
    call_shape const& shape = p.shape;
    row_factors = memory.take<Real>(shape.batch * shape.heads * shape.time * 2);
    partial_count = streams * p.segments * p.partial_size();
    partials = memory.take<Real>(partial_count);
    if (p.map.all_heads) {
      joint_partials = memory.take<Real>(2 * joint_tasks(shape) * widest(shape) * p.map.gradient_size);
      joint_scratch = memory.take<Real>(joint_tasks(shape) * widest(shape) * p.map.head_dim);
    }
  }

  static std::int64_t widest(call_shape const& shape) noexcept { return (std::max)(shape.heads, shape.kv_heads); }

  static std::size_t bytes(gradient_problem<Real> const& p, std::int64_t streams) noexcept {
    arena counter;
    backward_memory const count(counter, p, streams);
    return counter.taken();
  }
};

template <class Real>
pass_needs gradient_needs(gradient_problem<Real> const& p) noexcept {
  bool const sums =
      p.normalizer.needs_denominator || p.grad_final_state.k_sum.present() || p.grad_initial_state.k_sum.present();
  std::int64_t const whole = p.plan.longest_whole(p.shape.longest_sequence());
  std::int64_t const gathered = p.one_pass(whole) ? std::int64_t{whole_vectors<Real>(whole)} * p.shape.group() : 0;
  return {.gradients = true, .denominator = sums, .pairs = false, .query_rows = gathered};
}

/// Bytes of working memory that run_backward takes.
template <class Real>
std::size_t backward_bytes(cpu_executor const& exec, gradient_problem<Real> const& p) noexcept {
  auto const parts = divide(exec, p.map, p.shape, p.plan, gradient_needs(p));
  return backward_memory<Real>::bytes(p, parts.streams.size()) + parts.bytes();
}

/// Where finished sums of parameter gradients go: Map::accumulate, without the types. Sums are made in double, in a
/// fixed order.
struct gradient_sink {
  void const* self = nullptr;  // {map, gradients}
  void (*add)(void const* self, role r, int head, double const* sums) = nullptr;
  double* sums = nullptr;  // [size]
  int size = 0;

  void clear() const noexcept { std::fill(sums, sums + size, 0.0); }
  template <class Real>
  void take(Real const* partial) const noexcept {
    for (int i = 0; i < size; ++i) {
      sums[i] += static_cast<double>(partial[i]);
    }
  }
  void finish(role r, std::int64_t head) const { add(self, r, static_cast<int>(head), sums); }
};

/// The parameter gradients of all streams, head by head. Streams of a backward are (sequence, key head).
template <class Real>
void reduce_streams(gradient_problem<Real> const& p, gradient_sink const& sink) {
  call_shape const& shape = p.shape;
  auto const reduce = [&](role r, std::int64_t head, std::int64_t kv_head, int member) {
    sink.clear();
    for (std::int64_t n = 0; n < shape.sequences; ++n) {
      for (std::int64_t segment = 0; segment < p.segments; ++segment) {
        sink.take(p.partial(n * shape.kv_heads + kv_head, segment) + std::int64_t{member} * sink.size);
      }
    }
    sink.finish(r, head);
  };
  for (std::int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    for (int member = 0; member < shape.group(); ++member) {
      reduce(role::query, shape.query_head(kv_head, member), kv_head, member);
    }
    reduce(role::key, kv_head, kv_head, shape.group());
  }
}

/// The pass after backward for maps that see all heads: the rows' gradients, then the parameters'.
template <class Real>
void finish_jointly(cpu_executor const& exec, int workers, gradient_problem<Real> const& user,
                    backward_memory<Real> const& m, gradient_sink const& sink) {
  call_shape const& shape = user.shape;
  std::int64_t const runs = joint_tasks(shape);
  for (role const r : {role::query, role::key}) {
    bool const query = r == role::query;
    std::int64_t const heads = query ? shape.heads : shape.kv_heads;
    Real* const partials =
        m.joint_partials + (query ? 0 : runs * backward_memory<Real>::widest(shape) * user.map.gradient_size);
    std::fill(partials, partials + runs * heads * sink.size, Real(0));
    prepare_backward_jointly(exec, workers, user.map, r, shape, heads, query ? user.q : user.k,
                             query ? m.grads.q : m.grads.k, query ? user.grad_q : user.grad_k, partials,
                             m.joint_scratch);
    for (std::int64_t head = 0; head < heads; ++head) {
      sink.clear();
      for (std::int64_t run = 0; run < runs; ++run) {
        sink.take(partials + (run * heads + head) * sink.size);
      }
      sink.finish(r, head);
    }
  }
}

template <class Real>
LINATTN_NEVER_INLINE void run_backward(cpu_executor const& exec, gradient_problem<Real> const& user,
                                       gradient_sink const& sink) {
  pass_needs const needs = gradient_needs(user);
  auto const parts = divide(exec, user.map, user.shape, user.plan, needs);
  std::int64_t const streams = parts.streams.size();
  std::size_t const shared = backward_memory<Real>::bytes(user, streams);
  call_memory const memory(exec, shared + parts.bytes());
  arena shared_arena = memory.piece(0, shared);
  backward_memory<Real> const m(shared_arena, user, streams);

  auto p = user;
  p.row_factors = m.row_factors;
  p.partials = m.partials;
  std::fill(m.partials, m.partials + m.partial_count, Real(0));
  m.rows.prepare(exec, parts.workers, p);
  if (p.map.all_heads) {
    p.grad_q = m.grads.queries(p.shape, p.map.head_dim);
    p.grad_k = m.grads.keys(p.shape, p.map.head_dim);
  }
  if (!p.one_pass(p.shape.longest_sequence())) {
    run_pass<query_gradient_pass<Real>>(exec, p, parts, needs, memory, shared);
  }
  run_pass<key_gradient_pass<Real>>(exec, p, parts, needs, memory, shared);
  if (p.map.all_heads) {
    finish_jointly(exec, parts.workers, user, m, sink);
  } else if (sink.size > 0) {
    reduce_streams(p, sink);
  }
}

/// Runs a backward and adds the parameters' gradients to the user's views.
template <class Map, class Real>
void run_backward(cpu_executor const& exec, gradient_problem<Real> const& p, Map const& map,
                  typename Map::gradients const& gradients) {
  struct target {
    Map const& map;
    typename Map::gradients const& gradients;
  };
  target const to{map, gradients};
  double sums[static_cast<std::size_t>(Map::gradient_size > 0 ? Map::gradient_size : 1)];
  gradient_sink const sink{&to,
                           [](void const* self, role r, int head, double const* totals) {
                             auto const& t = *static_cast<target const*>(self);
                             for (int n = 0; n < Map::gradient_size; ++n) {
                               t.map.accumulate(t.gradients, r, head, n, static_cast<Real>(totals[n]));
                             }
                           },
                           sums, Map::gradient_size};
  run_backward(exec, p, sink);
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
