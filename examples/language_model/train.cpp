// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// train.hpp: data parallel over shards of the batch.
#include "train.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "progress.hpp"
#include "support/adamw.hpp"
#include "support/worker_pool.hpp"

namespace example {
namespace {

constexpr double kWarmUp = 0.04;      // of the run
constexpr double kLargestNorm = 1.0;  // of the gradient; a larger one is scaled down to it
constexpr double kSmoothing = 0.98;   // of the loss that is shown
constexpr int kShardRows = 512;       // rows of a shard: few enough for its activations to stay near the core
constexpr int kRanges = 16;           // pieces of the parameter array in the update

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

/// A part of the batch: its windows, activations and gradient.
struct shard {
  sequence_shape shape;
  std::vector<int> tokens, targets;
  workspace work;
  buffer gradients;
  double loss = 0;
};

std::vector<shard> make_shards(options const& settings, std::size_t parameters) {
  int const windows = std::max(1, kShardRows / settings.time);
  std::vector<shard> shards;
  for (int first = 0; first < settings.batch; first += windows) {
    sequence_shape const shape{std::min(windows, settings.batch - first), settings.time};
    auto const rows = static_cast<std::size_t>(shape.rows());
    shards.push_back({shape, std::vector<int>(rows), std::vector<int>(rows), {}, buffer(parameters), 0});
  }
  return shards;
}

/// One step's gradient work: deal, differentiate, sum. Returns the mean loss.
class gradient_sum {
 public:
  gradient_sum(model const& net, options const& settings, worker_pool& pool)
      : net_(net),
        pool_(pool),
        shards_(make_shards(settings, net.parameters().size())),
        total_(net.parameters().size()),
        partial_squares_(kRanges) {}

  double compute(window_dealer& dealer, int time) {
    std::size_t rows = 0;
    for (shard& each : shards_) {
      rows += each.tokens.size();
      for (std::size_t at = 0; at < each.tokens.size(); at += static_cast<std::size_t>(time)) {
        dealer.deal(std::span(each.tokens).subspan(at, static_cast<std::size_t>(time)),
                    std::span(each.targets).subspan(at, static_cast<std::size_t>(time)));
      }
    }
    float const scale = 1 / static_cast<float>(rows);
    pool_.run(static_cast<int>(shards_.size()), [&](int index) {
      shard& mine = shards_[static_cast<std::size_t>(index)];
      std::fill(mine.gradients.begin(), mine.gradients.end(), 0.0F);
      mine.loss = net_.loss_and_gradient(mine.shape, mine.tokens, mine.targets, scale, mine.work, mine.gradients);
    });
    pool_.run(kRanges, [&](int range) { add_range(range); });
    double loss = 0;
    for (shard const& each : shards_) {
      loss += each.loss;
    }
    return loss / static_cast<double>(rows);
  }

  std::span<float const> total() const { return total_; }
  double norm() const {
    double square = 0;
    for (double const each : partial_squares_) {
      square += each;
    }
    return std::sqrt(square);
  }
  std::size_t begin_of(int range) const { return total_.size() * static_cast<std::size_t>(range) / kRanges; }

 private:
  void add_range(int range) {
    std::size_t const first = begin_of(range);
    std::size_t const last = begin_of(range + 1);
    std::copy(shards_[0].gradients.begin() + static_cast<std::ptrdiff_t>(first),
              shards_[0].gradients.begin() + static_cast<std::ptrdiff_t>(last),
              total_.begin() + static_cast<std::ptrdiff_t>(first));
    for (std::size_t s = 1; s < shards_.size(); ++s) {
      float const* const add = shards_[s].gradients.data();
      for (std::size_t i = first; i < last; ++i) {
        total_[i] += add[i];
      }
    }
    double square = 0;
    for (std::size_t i = first; i < last; ++i) {
      square += static_cast<double>(total_[i]) * static_cast<double>(total_[i]);
    }
    partial_squares_[static_cast<std::size_t>(range)] = square;
  }

  model const& net_;
  worker_pool& pool_;
  std::vector<shard> shards_;
  buffer total_;
  std::vector<double> partial_squares_;
};

}  // namespace

training_summary train(model& net, text_corpus const& text, options const& settings) {
  worker_pool pool(settings.threads);
  window_dealer dealer(text.training(), settings.time, settings.seed + 1);
  gradient_sum gradient(net, settings, pool);
  adamw optimizer(net.parameters().size(), {});
  progress_display display;

  training_summary summary{};
  progress_report report{};
  double shown_loss = 0;
  double shown_weight = 0;
  auto const start = clock::now();
  for (double share = 0; share < 1;) {
    double const loss = gradient.compute(dealer, settings.time);
    float const rate = settings.rate * std::max(warm_up_cosine(share, kWarmUp), 0.01F);
    auto const scale = static_cast<float>(std::min(1.0, kLargestNorm / (gradient.norm() + 1e-12)));
    optimizer.begin_step();
    pool.run(kRanges, [&](int range) {
      optimizer.update(net.parameters().values(), gradient.total(), net.parameters().decay_mask(), rate, scale,
                       gradient.begin_of(range), gradient.begin_of(range + 1));
    });

    summary.steps += 1;
    shown_loss = kSmoothing * shown_loss + (1 - kSmoothing) * loss;
    shown_weight = kSmoothing * shown_weight + (1 - kSmoothing);
    double const elapsed = seconds_since(start);
    share = settings.steps > 0 ? static_cast<double>(summary.steps) / settings.steps : elapsed / settings.seconds;
    double const bytes = static_cast<double>(summary.steps) * settings.batch * settings.time;
    report = {std::min(share, 1.0), summary.steps, shown_loss / shown_weight, bytes / elapsed,
              std::max(0.0, elapsed / share - elapsed)};
    display.show(report);
    if (summary.steps == 1) {
      summary.first_loss = loss;
    }
    summary.seconds = elapsed;
  }
  display.finish(report);
  summary.tokens_per_second = report.tokens_per_second;
  summary.last_loss = report.loss;
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
