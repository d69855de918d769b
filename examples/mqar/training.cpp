// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// training.hpp: the optimizer's settings, those of the paper.
#include "training.hpp"

#include <algorithm>
#include <numeric>

namespace example {
namespace {

constexpr adamw_settings kOptimizer{.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-8F, .weight_decay = 0.1F};

}  // namespace

mqar_task make_task(run_settings const& run, std::uint64_t data_seed) {
  mqar_settings settings = run.task;
  settings.data_seed = data_seed;
  return mqar_task(settings);
}

example_dealer::example_dealer(run_settings const& run)
    : task_(make_task(run, run.seed)), random_(run.seed), order_(static_cast<std::size_t>(run.examples)) {
  std::iota(order_.begin(), order_.end(), std::uint64_t{0});
}

void example_dealer::deal(std::span<int> tokens, std::span<int> targets) {
  if (next_ == 0) {
    std::shuffle(order_.begin(), order_.end(), random_);
  }
  task_.write(order_[next_], tokens, targets);
  next_ = (next_ + 1) % order_.size();
}

trainer::trainer(model& net, run_settings const& run, worker_pool& pool)
    : net_(net),
      run_(run),
      dealer_(run),
      gradient_(net, run.batch, run.task.time, pool),
      optimizer_(net.parameters().size(), kOptimizer) {}

double trainer::step() {
  double const loss =
      gradient_.compute([&](std::span<int> tokens, std::span<int> targets) { dealer_.deal(tokens, targets); });
  float const rate = run_.rate * warm_up_cosine(static_cast<double>(steps_) / run_.steps, 0);
  gradient_.apply(optimizer_, net_.parameters(), rate, 1);
  ++steps_;
  return loss;
}

}  // namespace example
