// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// train.hpp: the loop, and what it shows.
#include "train.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "support/gradient_sum.hpp"
#include "support/progress.hpp"

namespace example {
namespace {

constexpr double kWarmUp = 0.04;      // of the run
constexpr double kLargestNorm = 1.0;  // of the gradient; a larger one is scaled down to it
constexpr double kSmoothing = 0.98;   // of the loss that is shown

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

std::string describe(long steps, double loss, double bytes_per_second, double seconds_left) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "step %ld  loss %.3f  %.3f bits a byte  %.1f k tokens/s  %.0f s left", steps,
                loss, loss / std::numbers::ln2, bytes_per_second / 1000, seconds_left);
  return text.data();
}

}  // namespace

training_summary train(model& net, text_corpus const& text, options const& settings) {
  worker_pool pool(settings.threads);
  window_dealer dealer(text.training(), settings.time, settings.seed + 1);
  gradient_sum gradient(net, settings.batch, settings.time, pool);
  adamw optimizer(net.parameters().size(), {});
  progress_display display;

  training_summary summary{};
  std::string text_shown;
  double shown_loss = 0;
  double shown_weight = 0;
  auto const start = clock::now();
  for (double share = 0; share < 1;) {
    double const loss =
        gradient.compute([&](std::span<int> tokens, std::span<int> targets) { dealer.deal(tokens, targets); });
    float const rate = settings.rate * std::max(warm_up_cosine(share, kWarmUp), 0.01F);
    auto const scale = static_cast<float>(std::min(1.0, kLargestNorm / (gradient.norm() + 1e-12)));
    gradient.apply(optimizer, net.parameters(), rate, scale);

    summary.steps += 1;
    shown_loss = kSmoothing * shown_loss + (1 - kSmoothing) * loss;
    shown_weight = kSmoothing * shown_weight + (1 - kSmoothing);
    double const elapsed = seconds_since(start);
    share = settings.steps > 0 ? static_cast<double>(summary.steps) / settings.steps : elapsed / settings.seconds;
    summary.last_loss = shown_loss / shown_weight;
    summary.tokens_per_second = static_cast<double>(summary.steps) * settings.batch * settings.time / elapsed;
    text_shown =
        describe(summary.steps, summary.last_loss, summary.tokens_per_second, std::max(0.0, elapsed / share - elapsed));
    share = std::min(share, 1.0);
    display.show(share, text_shown);
    if (summary.steps == 1) {
      summary.first_loss = loss;
    }
    summary.seconds = elapsed;
  }
  display.finish(1, text_shown);
  return summary;
}

double held_out_bits(model const& net, text_corpus const& text, options const& settings) {
  std::span<int const> const symbols = text.held_out();
  auto const window = static_cast<std::size_t>(settings.time);
  std::size_t const half = window / 2;
  std::size_t const windows = (symbols.size() - 1 - window + half - 1) / half + 1;
  std::vector<double> losses(windows);
  worker_pool pool(settings.threads);
  pool.run(static_cast<int>(windows), [&](int index) {
    thread_local workspace work;
    auto const at = static_cast<std::size_t>(index);
    std::size_t const start = std::min(at * half, symbols.size() - 1 - window);
    std::size_t const counted = at == 0 ? 0 : (at - 1) * half + window;  // bytes before it are already counted
    float* const logits = net.forward({1, settings.time}, symbols.subspan(start, window), work);
    std::vector<int> targets(symbols.begin() + static_cast<std::ptrdiff_t>(start) + 1,
                             symbols.begin() + static_cast<std::ptrdiff_t>(start + window) + 1);
    for (std::size_t i = 0; start + i < counted; ++i) {
      targets[i] = -1;
    }
    losses[at] = cross_entropy(logits, targets, text.vocabulary(), 0);
  });
  double nats = 0;
  for (double const loss : losses) {
    nats += loss;
  }
  return nats / std::numbers::ln2 / static_cast<double>(symbols.size() - 1);
}

}  // namespace example
