// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A host's threads for the benchmarks, as trainers and servers keep them: started once, and awake for a while after
// each call, as OpenMP's are.
#ifndef LINATTN_BENCHMARKS_SUPPORT_HOST_POOL_HPP
#define LINATTN_BENCHMARKS_SUPPORT_HOST_POOL_HPP

#include <linattn/cpu/executor.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

namespace linattn_benchmark {

class host_pool {
 public:
  /// `threads` counts the caller's.
  explicit host_pool(int threads) {
    for (int worker = 1; worker < threads; ++worker) {
      helpers_.emplace_back([this, worker] { help(worker); });
    }
  }
  host_pool(host_pool const&) = delete;
  host_pool& operator=(host_pool const&) = delete;
  ~host_pool() {
    workers_ = 0;
    begin_round();
  }

  [[nodiscard]] linattn::task_runner runner() noexcept {
    return {[](void* self, int workers, void (*body)(void*, int), void* data) {
              static_cast<host_pool*>(self)->run(workers, body, data);
            },
            this};
  }

 private:
  static constexpr std::chrono::milliseconds awake{1};

  void run(int workers, void (*body)(void*, int), void* data) {
    workers_ = workers;
    body_ = body;
    data_ = data;
    busy_ = static_cast<int>(helpers_.size());
    begin_round();
    body(data, 0);
    while (busy_.load(std::memory_order_acquire) != 0) {}
  }

  void begin_round() {
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }

  void help(int worker) {
    for (unsigned seen = 0;;) {
      auto const asleep = std::chrono::steady_clock::now() + awake;
      while (round_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < asleep) {}
      round_.wait(seen, std::memory_order_acquire);
      ++seen;
      if (workers_ == 0) {
        return;
      }
      if (worker < workers_) {
        body_(data_, worker);
      }
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::atomic<unsigned> round_{0};
  std::atomic<int> busy_{0};
  int workers_ = 0;  // of this round; 0: stop
  void (*body_)(void*, int) = nullptr;
  void* data_ = nullptr;
  std::vector<std::jthread> helpers_;  // last: they use the members above until they have joined
};

}  // namespace linattn_benchmark

#endif
