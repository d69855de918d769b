// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs a pass over every stream of a call: stream by stream, or, where threads outnumber the streams, segment by
// segment of long sequences. Both ways add the same numbers in the same order, so the bits are the same.
#ifndef LINATTN_CPU_DRIVER_HPP
#define LINATTN_CPU_DRIVER_HPP

#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/pass.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Calls f(begin, end) for the pieces of [begin, end), cut every `step`, in the pass's direction.
template <bool Reversed, class F>
void for_each_piece(std::int64_t begin, std::int64_t end, std::int64_t step, F&& f) {
  std::int64_t const count = (end - begin + step - 1) / step;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t const from = begin + (Reversed ? count - 1 - i : i) * step;
    f(from, (std::min)(from + step, end));
  }
}

/// How many numbers a state takes: kv, then the padded sums if there are any.
template <class Real>
std::int64_t state_size(int features, value_columns const& columns) noexcept {
  return std::int64_t{columns.padded} * features + whole_vectors<Real>(features);
}

template <class Real>
class stream_runner {
 public:
  stream_runner(worker_memory<Real>& memory, schedule const& plan, int features)
      : m_(memory), plan_(plan), features_(features) {}

  /// A whole stream. A segment that others follow is also summed by itself, from zero: the state after it is the state
  /// before it and that sum, as where threads share the segments.
  template <class Pass>
  void run(Pass& pass, value_columns const& columns) {
    std::int64_t const length = pass.length();
    std::int64_t const last = Pass::reversed ? 0 : length;
    load_initial(pass, columns);
    auto const each_segment = [&](auto&& f) { for_each_piece<Pass::reversed>(0, length, plan_.segment(length), f); };
    if (pass.state_first()) {
      each_segment([&](std::int64_t begin, std::int64_t end) {
        begin_segment(columns, plan_.segments(length) > 1);
        accumulate<Pass>(pass, begin, end);
        end_segment(columns);
      });
      each_segment([&](std::int64_t begin, std::int64_t end) { emit<Pass>(pass, begin, end); });
    } else {
      each_segment([&](std::int64_t begin, std::int64_t end) {
        bool const followed = pass.wants_final_state() || (Pass::reversed ? begin : end) != last;
        begin_segment(columns, followed && plan_.segments(length) > 1);
        for_each_piece<Pass::reversed>(begin, end, plan_.block(length), [&](std::int64_t from, std::int64_t to) {
          pass.emit(from, to);
          if (pass.wants_final_state() || (Pass::reversed ? from : to) != last) {
            pass.accumulate(from, to);
          }
        });
        end_segment(columns);
        pass.end_segment(begin / plan_.segment(length));
      });
    }
    if (pass.wants_final_state()) {
      if (m_.state.zero) {
        load_state<Real>(features_, {}, columns, m_.state.kv, m_.state.k_sum);  // nothing was added to it
      }
      store_state<Real>(features_, pass.final_state(), columns, m_.state.kv, m_.state.k_sum);
    }
  }

  /// Only the sum of one segment, from zero, to `to`.
  template <class Pass>
  void sum_segment(Pass& pass, value_columns const& columns, std::int64_t begin, std::int64_t end, Real* to) {
    std::fill(to, to + state_size<Real>(features_, columns), Real(0));
    running_state<Real> const own = m_.state;
    m_.state.kv = to;
    m_.state.k_sum = own.k_sum != nullptr ? to + std::int64_t{columns.padded} * features_ : nullptr;
    m_.state.zero = false;  // it is added to, as the sum of a segment is elsewhere
    accumulate<Pass>(pass, begin, end);
    m_.state = own;
  }

  /// One segment, from the state before it (`zero`: there is none).
  template <class Pass>
  void run_segment(Pass& pass, value_columns const& columns, std::int64_t begin, std::int64_t end, Real const* before,
                   bool zero) {
    std::int64_t const size = std::int64_t{columns.padded} * features_;
    std::copy(before, before + size, m_.state.kv);
    if (m_.state.k_sum != nullptr) {
      std::copy(before + size, before + state_size<Real>(features_, columns), m_.state.k_sum);
    }
    m_.state.zero = zero;
    if (pass.state_first()) {
      m_.state.zero = false;
      emit<Pass>(pass, begin, end);
      return;
    }
    for_each_piece<Pass::reversed>(begin, end, plan_.block(pass.length()), [&](std::int64_t from, std::int64_t to) {
      pass.emit(from, to);
      if ((Pass::reversed ? from : to) != (Pass::reversed ? begin : end)) {
        pass.accumulate(from, to);
      }
    });
    pass.end_segment(begin / plan_.segment(pass.length()));
  }

 private:
  /// A state that is zero is not cleared: the first update overwrites it.
  template <class Pass>
  void load_initial(Pass& pass, value_columns const& columns) {
    auto const slot = pass.initial_state();
    m_.state.zero = slot.kv == nullptr && slot.k_sum == nullptr;
    if (!m_.state.zero) {
      load_state<Real>(features_, slot, columns, m_.state.kv, m_.state.k_sum);
    }
  }

  template <class Pass>
  void accumulate(Pass& pass, std::int64_t begin, std::int64_t end) {
    for_each_piece<Pass::reversed>(begin, end, plan_.block(pass.length()),
                                   [&](std::int64_t from, std::int64_t to) { pass.accumulate(from, to); });
  }

  template <class Pass>
  void emit(Pass& pass, std::int64_t begin, std::int64_t end) {
    for_each_piece<Pass::reversed>(begin, end, plan_.block(pass.length()),
                                   [&](std::int64_t from, std::int64_t to) { pass.emit(from, to); });
    pass.end_segment(begin / plan_.segment(pass.length()));
  }

  /// Starts a sum beside the state, if one is `wanted`; a state that is zero is such a sum itself.
  void begin_segment(value_columns const& columns, bool wanted) {
    if (!wanted || m_.state.zero) {
      return;
    }
    m_.state.local_kv = m_.segment.local_kv;
    m_.state.local_k_sum = m_.segment.local_k_sum;
    for_each_part(columns, [](Real* state, Real* before, Real* local, std::int64_t size) {
      std::copy(state, state + size, before);
      std::fill(local, local + size, Real(0));
    });
  }

  void end_segment(value_columns const& columns) {
    if (m_.state.local_kv != nullptr) {
      for_each_part(columns, [](Real* state, Real const* before, Real const* local, std::int64_t size) {
        std::transform(before, before + size, local, state, std::plus<>());
      });
    }
    m_.state.local_kv = m_.state.local_k_sum = nullptr;
  }

  /// f(state, state before the segment, sum of the segment, size), for kv and k_sum.
  template <class F>
  void for_each_part(value_columns const& columns, F&& f) {
    f(m_.state.kv, m_.segment.kv, m_.segment.local_kv, std::int64_t{columns.padded} * features_);
    if (m_.state.k_sum != nullptr) {
      f(m_.state.k_sum, m_.segment.k_sum, m_.segment.local_k_sum, std::int64_t{whole_vectors<Real>(features_)});
    }
  }

  worker_memory<Real>& m_;
  schedule const& plan_;
  int features_;
};

/// How a call is spread over threads, and what memory that takes.
template <class Real>
struct division {
  stream_set<Real> streams;
  int workers = 1;
  std::int64_t segments = 1;  // per stream, where threads share a sequence; else 1
  std::size_t worker_bytes = 0;
  std::size_t segment_bytes = 0;

  [[nodiscard]] std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(workers) * worker_bytes + segment_bytes;
  }
};

/// Multiply-adds of a forward over the call, roughly: what decides how many threads are worth starting.
template <class Real>
double forward_work(map_ref<Real> const& map, call_shape const& shape, schedule const& plan) noexcept {
  double const length = static_cast<double>(shape.longest_sequence());
  double const block = (std::min)(static_cast<double>(plan.block(shape.longest_sequence())), length);
  double const row = 2.0 * map.feature_dim * shape.value_dim + 0.5 * block * (map.head_dim + shape.value_dim);
  return static_cast<double>(shape.batch) * static_cast<double>(shape.heads) * static_cast<double>(shape.time) * row;
}

template <class Real>
division<Real> divide(cpu_executor const& exec, map_ref<Real> const& map, call_shape const& shape, schedule const& plan,
                      pass_needs const& needs) noexcept {
  division<Real> result;
  std::int64_t const longest = shape.longest_sequence();
  std::int64_t const pairs = shape.sequences * shape.kv_heads;
  double const work = forward_work(map, shape, plan) * (needs.gradients ? 2.5 : 1.0);
  int const threads = worker_count(exec, std::int64_t{1} << 30, work);
  int const ranges = needs.gradients || pairs == 0 ? 1 : static_cast<int>((threads + pairs - 1) / pairs);
  result.streams = stream_set<Real>::make(shape, ranges);
  bool const share_sequences = result.streams.size() < threads && plan.segments(longest) > 1;
  result.segments = share_sequences ? plan.segments(longest) : 1;
  result.workers = worker_count(exec, result.streams.size() * result.segments, work);
  arena counter;
  worker_memory<Real> const count(counter, map, plan, longest, result.streams.columns(0).padded, shape.group(), needs);
  result.worker_bytes = counter.taken();
  if (share_sequences) {
    arena states;  // it rounds up
    states.take<Real>(result.streams.size() * result.segments *
                      state_size<Real>(map.feature_dim, result.streams.columns(0)));
    result.segment_bytes = states.taken();
  }
  return result;
}

/// Turns the sums of a stream's segments into the states before them, in the pass's direction; where the outputs need
/// the whole sum first, into that sum. Stores the final state.
template <class Pass, class Real>
void scan_segments(Pass& pass, int features, value_columns const& columns, std::int64_t segments, Real* states,
                   std::int64_t size) {
  Real* const total = pass.state().kv;  // kv and k_sum apart; a scratch copy of the running sum
  Real* const total_sums = pass.state().k_sum;
  std::int64_t const kv_size = std::int64_t{columns.padded} * features;
  load_state<Real>(features, pass.initial_state(), columns, total, total_sums);
  for (std::int64_t i = 0; i < segments; ++i) {
    Real* const kv = states + (Pass::reversed ? segments - 1 - i : i) * size;
    Real* const sums = kv + kv_size;
    for (std::int64_t j = 0; j < kv_size; ++j) {
      Real const before = total[j];
      total[j] = before + kv[j];
      kv[j] = before;
    }
    for (int j = 0; total_sums != nullptr && j < whole_vectors<Real>(features); ++j) {
      Real const before = total_sums[j];
      total_sums[j] = before + sums[j];
      sums[j] = before;
    }
  }
  for (std::int64_t i = 0; pass.state_first() && i < segments; ++i) {
    std::copy(total, total + kv_size, states + i * size);
    if (total_sums != nullptr) {
      std::copy(total_sums, total_sums + whole_vectors<Real>(features), states + i * size + kv_size);
    }
  }
  if (pass.wants_final_state()) {
    store_state<Real>(features, pass.final_state(), columns, total, total_sums);
  }
}

/// Runs Pass(problem, memory) over all streams.
template <class Pass, class Real, class Problem>
void run_pass(cpu_executor const& exec, Problem const& problem, division<Real> const& parts, pass_needs const& needs,
              call_memory const& memory, std::size_t offset) {
  std::int64_t const longest = problem.shape.longest_sequence();
  schedule const& plan = problem.plan;
  auto const with_pass = [&](int worker, std::int64_t stream, auto&& f) {
    arena own = memory.piece(offset + static_cast<std::size_t>(worker) * parts.worker_bytes, parts.worker_bytes);
    worker_memory<Real> buffers(own, problem.map, plan, longest, parts.streams.columns(0).padded, problem.shape.group(),
                                needs);
    stream_id const id = parts.streams[stream];
    value_columns const columns = parts.streams.columns(id.range);
    Pass pass(problem, buffers);
    pass.bind(stream, id, columns);
    f(pass, columns, stream_runner<Real>(buffers, plan, problem.map.feature_dim));
  };
  if (parts.segments == 1) {
    for_each_task(exec, parts.workers, parts.streams.size(), [&](std::int64_t task, int worker) {
      with_pass(worker, task, [&](Pass& pass, value_columns const& columns, stream_runner<Real> runner) {
        runner.run(pass, columns);
      });
    });
    return;
  }
  std::int64_t const size = state_size<Real>(problem.map.feature_dim, parts.streams.columns(0));
  std::size_t const states_at = offset + static_cast<std::size_t>(parts.workers) * parts.worker_bytes;
  Real* const states =
      memory.piece(states_at, parts.segment_bytes).template take<Real>(parts.streams.size() * parts.segments * size);
  // f is called for each segment of the sequences that have several.
  auto const each_segment = [&](auto&& f, auto&& single) {
    for_each_task(exec, parts.workers, parts.streams.size() * parts.segments, [&](std::int64_t task, int worker) {
      with_pass(worker, task / parts.segments,
                [&](Pass& pass, value_columns const& columns, stream_runner<Real> runner) {
                  std::int64_t const index = task % parts.segments;
                  std::int64_t const begin = index * plan.segment(pass.length());
                  std::int64_t const end = (std::min)(begin + plan.segment(pass.length()), pass.length());
                  if (plan.segments(pass.length()) > 1 && begin < end) {
                    f(pass, columns, runner, begin, end, states + task * size);
                  } else if (plan.segments(pass.length()) == 1 && index == 0) {
                    single(pass, columns, runner);
                  }
                });
    });
  };
  auto const nothing = [](Pass&, value_columns const&, stream_runner<Real>&) {};
  each_segment([](Pass& pass, value_columns const& columns, stream_runner<Real>& runner, std::int64_t begin,
                  std::int64_t end, Real* state) { runner.sum_segment(pass, columns, begin, end, state); },
               nothing);
  for_each_task(exec, parts.workers, parts.streams.size(), [&](std::int64_t stream, int worker) {
    with_pass(worker, stream, [&](Pass& pass, value_columns const& columns, stream_runner<Real>) {
      std::int64_t const count = plan.segments(pass.length());
      if (count > 1) {
        scan_segments(pass, problem.map.feature_dim, columns, count, states + stream * parts.segments * size, size);
      }
    });
  });
  each_segment(
      [](Pass& pass, value_columns const& columns, stream_runner<Real>& runner, std::int64_t begin, std::int64_t end,
         Real const* state) {
        bool const first = Pass::reversed ? end == pass.length() : begin == 0;
        auto const initial = pass.initial_state();
        runner.run_segment(pass, columns, begin, end, state,
                           first && initial.kv == nullptr && initial.k_sum == nullptr);
      },
      [](Pass& pass, value_columns const& columns, stream_runner<Real>& runner) { runner.run(pass, columns); });
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
