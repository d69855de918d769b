// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// cpu_executor: where CPU work runs, on how many threads, in whose memory; and the loop over tasks that engines use.
#ifndef LINATTN_CPU_EXECUTOR_HPP
#define LINATTN_CPU_EXECUTOR_HPP

#include <linattn/core/aligned_allocator.hpp>
#include <linattn/core/arena.hpp>
#include <linattn/core/config.hpp>
#include <linattn/core/math.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <thread>
#include <vector>

namespace linattn::inline LINATTN_ABI {

/// A host's own threads: run(context, workers, body, data) calls body(data, i) once for each i < workers, on any
/// threads, and returns when all have returned. Maps to OpenMP, at::parallel_for, ggml's ith/nth, a thread pool.
struct task_runner {
  void (*run)(void* context, int workers, void (*body)(void* data, int worker), void* data) = nullptr;
  void* context = nullptr;
};

/// How products are computed.
enum class precision : std::uint8_t {
  full,  // in the accumulator's type
  fast   // of features with values and states: from factors rounded to bf16, summed in float; all others as in full
};

inline namespace LINATTN_ISA {

/// Runs on the CPU, and returns when done. The result does not depend on `threads`, `tasks` or `workspace`.
struct cpu_executor {
  using is_executor = void;
  static constexpr bool reads_host_memory = true;

  int threads = 0;                       // 0: as many as the machine has; a call with little work uses fewer
  task_runner tasks{};                   // absent: threads are started for the call and joined
  std::span<std::byte> workspace{};      // at least workspace_bytes(...); otherwise the call allocates
  precision products = precision::full;  // fast: acts on the chunkwise forward, on CPUs that multiply bf16
};

}  // namespace LINATTN_ISA

namespace detail::inline LINATTN_ISA {

using arena = basic_arena<cache_line>;

/// The memory of one call: the executor's workspace if it is large enough, else allocated.
class call_memory {
 public:
  call_memory(cpu_executor const& exec, std::size_t bytes) {
    void* begin = exec.workspace.data();
    std::size_t space = exec.workspace.size();
    if (exec.workspace.empty() || std::align(cache_line, bytes, begin, space) == nullptr) {
      owned_.reset(static_cast<std::byte*>(::operator new((std::max<std::size_t>)(bytes, 1), alignment)));
      begin = owned_.get();
    }
    begin_ = static_cast<std::byte*>(begin);
  }

  /// The piece [offset, offset + bytes).
  [[nodiscard]] arena piece(std::size_t offset, std::size_t bytes) const noexcept { return {begin_ + offset, bytes}; }

 private:
  static constexpr std::align_val_t alignment{cache_line};
  struct release {
    void operator()(std::byte* p) const noexcept { ::operator delete(p, alignment); }
  };
  std::unique_ptr<std::byte, release> owned_;
  std::byte* begin_ = nullptr;
};

/// How many threads a call uses: no more than there are tasks, and one per `minimum` multiply-adds.
inline int worker_count(cpu_executor const& exec, std::int64_t tasks, double multiply_adds) noexcept {
  constexpr double minimum = 4e6;  // about 100 us on one core, several times the cost of starting a thread
  auto const useful = (std::min)(tasks, static_cast<std::int64_t>((std::min)(multiply_adds / minimum, 1e6)));
  if (useful <= 1) {
    return 1;  // also spares a decoding step the question how many cores there are
  }
  int const threads = exec.threads > 0 ? exec.threads : static_cast<int>(std::thread::hardware_concurrency());
  return static_cast<int>((std::min<std::int64_t>)(useful, (std::max)(threads, 1)));
}

/// Runs body(task, worker) for each task. Workers take tasks in order as they become free; each task's result must not
/// depend on which worker runs it.
template <class F>
void for_each_task(cpu_executor const& exec, int workers, std::int64_t tasks, F&& body) {
  if (workers <= 1) {
    for (std::int64_t task = 0; task < tasks; ++task) {
      body(task, 0);
    }
    return;
  }
  struct shared_work {
    F& body;
    std::int64_t tasks;
    std::atomic<std::int64_t> next{0};
  };
  shared_work work{body, tasks};
  auto const run_worker = [](void* data, int worker) {
    auto& shared = *static_cast<shared_work*>(data);
    for (std::int64_t task = shared.next++; task < shared.tasks; task = shared.next++) {
      shared.body(task, worker);
    }
  };
  if (exec.tasks.run != nullptr) {
    exec.tasks.run(exec.tasks.context, workers, run_worker, &work);
    return;
  }
  std::vector<std::jthread> helpers;
  helpers.reserve(static_cast<std::size_t>(workers - 1));
  for (int worker = 1; worker < workers; ++worker) {
    helpers.emplace_back(run_worker, &work, worker);
  }
  run_worker(&work, 0);
}

}  // namespace detail::inline LINATTN_ISA
}  // namespace linattn::inline LINATTN_ABI

#endif
