// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Maps whose prepare() sees the rows of all heads of a token (Map::all_heads): a pass before the engine writes the
// prepared rows to working memory, and one after backward turns their gradients into those of the rows.
#ifndef LINATTN_CPU_JOINT_HPP
#define LINATTN_CPU_JOINT_HPP

#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/map_ref.hpp>
#include <linattn/cpu/problem.hpp>
#include <linattn/cpu/rows.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Tokens of one task of a joint pass.
inline constexpr std::int64_t joint_tokens = 256;

/// Contiguous (batch, time, head, channel) working memory.
template <class Real>
tensor_rows joint_rows(Real* data, std::int64_t time, std::int64_t heads, int head_dim) noexcept {
  return {data, time * heads * head_dim, head_dim, heads * head_dim, element_kind_of<Real>, head_dim};
}

/// The rows of all heads at one token, gathered.
template <class Real>
void gather_heads(tensor_rows const& tensor, std::int64_t batch, std::int64_t time, std::int64_t heads, Real* to) {
  for (std::int64_t head = 0; head < heads; ++head) {
    copy_rows(tensor.source(batch, head), time, 1, 1, 0, tensor.channels, to + head * tensor.channels, 0);
  }
}

/// Calls f(batch, begin, end, task) for runs of tokens, in parallel.
template <class F>
void for_each_token_run(cpu_executor const& exec, int workers, call_shape const& shape, F&& f) {
  std::int64_t const runs = (shape.time + joint_tokens - 1) / joint_tokens;
  for_each_task(exec, workers, shape.batch * runs, [&](std::int64_t task, int) {
    std::int64_t const begin = task % runs * joint_tokens;
    f(task / runs, begin, (std::min)(begin + joint_tokens, shape.time), task);
  });
}

inline std::int64_t joint_tasks(call_shape const& shape) noexcept {
  return shape.batch * ((shape.time + joint_tokens - 1) / joint_tokens);
}

/// to (batch, time, head, channel) = the prepared rows.
template <class Real>
void prepare_jointly(cpu_executor const& exec, int workers, map_ref<Real> const& map, role r, call_shape const& shape,
                     std::int64_t heads, tensor_rows const& from, Real* to) {
  std::int64_t const width = heads * map.head_dim;
  for_each_token_run(exec, workers, shape, [&](std::int64_t batch, std::int64_t begin, std::int64_t end, std::int64_t) {
    for (std::int64_t t = begin; t < end; ++t) {
      Real* const rows = to + (batch * shape.time + t) * width;
      gather_heads(from, batch, t, heads, rows);
      map.prepare_row(map.self, r, static_cast<int>(heads), rows);
    }
  });
}

/// grads, of the prepared rows, become the gradients of the rows and are written to `target`. partials: per task,
/// [heads][gradient_size], zero on entry. scratch: `width` numbers a task.
template <class Real>
void prepare_backward_jointly(cpu_executor const& exec, int workers, map_ref<Real> const& map, role r, call_shape const& shape,
                              std::int64_t heads, tensor_rows const& rows, Real* grads, tensor_rows const& target,
                              Real* partials, Real* scratch) {
  std::int64_t const width = heads * map.head_dim;
  for_each_token_run(exec, workers, shape, [&](std::int64_t batch, std::int64_t begin, std::int64_t end,
                                               std::int64_t task) {
    Real* const sums = partials + task * heads * map.gradient_size;
    Real* const raw = scratch + task * width;
    for (std::int64_t t = begin; t < end; ++t) {
      Real* const grad = grads + (batch * shape.time + t) * width;
      gather_heads(rows, batch, t, heads, raw);
      map.prepare_row_backward(map.self, r, static_cast<int>(heads), raw, grad, sums);
      for (std::int64_t head = 0; head < heads; ++head) {
        write_rows(target.target(batch, head), t, 1, 0, map.head_dim, grad + head * map.head_dim, 0);
      }
    }
  });
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
