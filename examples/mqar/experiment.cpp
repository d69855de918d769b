// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// experiment.hpp: the training loop, and the test in both forms.
#include "experiment.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

#include "training.hpp"

namespace example {
namespace {

constexpr std::uint64_t kTestData = 0x7E57;  // training sets have the runs' seeds, which are smaller
constexpr double kSmoothing = 0.95;          // of the loss that is shown
constexpr int kTestWindows = 16;             // examples that are read together

using clock = std::chrono::steady_clock;

/// Calls part(batch) for the test set's examples, some at a time, on the pool's threads, and adds up what it returns.
template <class Part>
auto sum_over_test_set(run_settings const& run, worker_pool& pool, Part const& part) {
  mqar_task const task = make_task(run, kTestData);
  int const parts = (run.test_examples + kTestWindows - 1) / kTestWindows;
  std::vector<decltype(part(std::declval<token_batch&>()))> results(static_cast<std::size_t>(parts));
  pool.run(parts, [&](int index) {
    int const first = index * kTestWindows;
    token_batch batch(std::min(kTestWindows, run.test_examples - first), run.task.time);
    for (int i = 0; i < batch.shape.batch; ++i) {
      task.write(static_cast<std::uint64_t>(first + i), batch.tokens_of(i), batch.targets_of(i));
    }
    results[static_cast<std::size_t>(index)] = part(batch);
  });
  auto sum = results.front();
  for (std::size_t i = 1; i < results.size(); ++i) {
    sum += results[i];
  }
  return sum;
}

bool is_right(float const* logits, int vocabulary, int target) {
  return std::max_element(logits, logits + vocabulary) - logits == target;
}

struct score {
  long right = 0;
  double loss = 0;

  score& operator+=(score const& other) {
    right += other.right;
    loss += other.loss;
    return *this;
  }
};

}  // namespace

int value_dim_of(run_settings const& run) { return std::max(1, run.width / run.heads); }

int last_step(run_settings const& run) { return std::min(run.steps, run.stop_after); }

model make_model(run_settings const& run) {
  return model({.kernel = run.mixer,
                .blocks = run.blocks,
                .vocabulary = run.task.vocabulary,
                .positions = run.task.time,
                .width = run.width,
                .heads = run.heads,
                .value_dim = value_dim_of(run),
                .taps = 3,
                .deviation = run.deviation,
                .softmax_key_dim = value_dim_of(run),
                .form_by_length = true,
                .seed = run.seed});
}

run_result train(model& net, run_settings const& run, worker_pool& pool,
                 std::function<void(run_progress const&)> const& show) {
  trainer training(net, run, pool);
  run_result result;
  double shown_loss = 0;
  double shown_weight = 0;
  auto const start = clock::now();
  auto const seconds = [&] { return std::chrono::duration<double>(clock::now() - start).count(); };
  int const last = last_step(run);
  for (int step = 1; step <= last; ++step) {
    double const loss = training.step();
    shown_loss = kSmoothing * shown_loss + (1 - kSmoothing) * loss;
    shown_weight = kSmoothing * shown_weight + (1 - kSmoothing);
    if (step % run.evaluate_every == 0 || step == last) {
      result = test(net, run, pool);
      result.steps = step;
    }
    show({step, shown_loss / shown_weight, result.accuracy, seconds()});
    if (result.accuracy >= run.enough) {
      break;
    }
  }
  result.seconds = seconds();
  return result;
}

run_result test(model const& net, run_settings const& run, worker_pool& pool) {
  int const vocabulary = run.task.vocabulary;
  score const all = sum_over_test_set(run, pool, [&](token_batch& batch) {
    thread_local workspace work;
    float* const logits = net.forward_targets(batch.shape, batch.tokens, batch.targets, work);
    score part;
    for (std::size_t i = 0; i < work.targets.size(); ++i) {
      part.right += is_right(logits + i * static_cast<std::size_t>(vocabulary), vocabulary, work.targets[i]);
    }
    part.loss = cross_entropy(logits, work.targets, vocabulary, 0);
    return part;
  });
  double const queries = static_cast<double>(run.test_examples) * run.task.pairs;
  return {.accuracy = static_cast<double>(all.right) / queries,
          .loss = all.loss / queries,
          .parameters = net.parameters().size()};
}

step_test test_steps(model const& net, run_settings const& run, worker_pool& pool) {
  int const vocabulary = run.task.vocabulary;
  long const right = sum_over_test_set(run, pool, [&](token_batch& batch) {
    thread_local workspace work;
    decoder_state state = net.make_state(batch.shape.batch);
    std::vector<int> tokens(static_cast<std::size_t>(batch.shape.batch));
    long part = 0;
    for (int t = 0; t < batch.shape.time; ++t) {
      for (int b = 0; b < batch.shape.batch; ++b) {
        tokens[static_cast<std::size_t>(b)] = batch.tokens_of(b)[static_cast<std::size_t>(t)];
      }
      float const* const logits = net.step(tokens, state, work);
      for (int b = 0; b < batch.shape.batch; ++b) {
        int const target = batch.targets_of(b)[static_cast<std::size_t>(t)];
        part += target >= 0 && is_right(logits + b * vocabulary, vocabulary, target);
      }
    }
    return part;
  });
  decoder_state state = net.make_state(1);
  workspace work;
  int const filler = 0;
  for (int t = 0; t < run.task.time; ++t) {
    net.step({&filler, 1}, state, work);
  }
  return {static_cast<double>(right) / (static_cast<double>(run.test_examples) * run.task.pairs), state.bytes()};
}

}  // namespace example
