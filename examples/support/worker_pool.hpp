// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A fork-join pool: run(n, f) calls f(0) .. f(n - 1), each once, on whichever thread is free. Results must not depend
// on which: the models give each task its own gradient array. Not a general task scheduler.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace example {

class worker_pool {
 public:
  /// `threads` counts the caller, which works too.
  explicit worker_pool(int threads) {
    for (int i = 1; i < threads; ++i) {
      helpers_.emplace_back([this](std::stop_token stop) { help(stop); });
    }
  }

  void run(int tasks, std::function<void(int)> const& function) {
    {
      std::lock_guard const lock(mutex_);
      function_ = &function;
      tasks_ = tasks;
      next_ = 0;
      busy_ = static_cast<int>(helpers_.size());
      ++round_;
    }
    start_.notify_all();
    work();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void work() {
    for (int task = next_++; task < tasks_; task = next_++) {
      (*function_)(task);
    }
  }

  void help(std::stop_token stop) {
    long seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        if (!start_.wait(lock, stop, [&] { return round_ != seen; })) {
          return;
        }
        seen = round_;
      }
      work();
      std::lock_guard const lock(mutex_);
      if (--busy_ == 0) {
        done_.notify_one();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable_any start_;
  std::condition_variable done_;
  std::function<void(int)> const* function_ = nullptr;
  int tasks_ = 0;
  std::atomic<int> next_ = 0;
  int busy_ = 0;
  long round_ = 0;
  std::vector<std::jthread> helpers_;  // last: its threads use the members above until they have joined
};

}  // namespace example
