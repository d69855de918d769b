// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// gradient_sum.hpp: shards in any order, sums in theirs.
#include "gradient_sum.hpp"

#include <algorithm>
#include <cmath>

namespace example {
namespace {

constexpr int kPieceRows = 128;  // rows of a piece: few enough for its activations to stay near the core
constexpr int kShardRows = 512;  // rows of a shard at least: enough to be worth its gradient
constexpr int kMostShards = 16;  // each holds a gradient
constexpr int kRanges = 16;      // pieces of the parameter array in sums and updates

}  // namespace

gradient_sum::gradient_sum(model const& net, int batch, int time, worker_pool& pool)
    : net_(net), pool_(pool), total_(net.parameters().size()), partial_squares_(kRanges) {
  int const windows = std::max(1, kPieceRows / time);
  int const pieces = (batch + windows - 1) / windows;
  long const wanted = static_cast<long>(batch) * time / kShardRows;
  int const shards = static_cast<int>(std::clamp<long>(wanted, 1, std::min(pieces, kMostShards)));
  shards_.resize(static_cast<std::size_t>(shards));
  for (int s = 0; s < shards; ++s) {
    shard& each = shards_[static_cast<std::size_t>(s)];
    each.gradients.resize(net.parameters().size());
    for (int piece = s * pieces / shards; piece < (s + 1) * pieces / shards; ++piece) {
      each.pieces.emplace_back(std::min(windows, batch - piece * windows), time);
    }
  }
}

double gradient_sum::compute(window_writer const& write) {
  long counted = 0;
  for (shard& each : shards_) {
    for (token_batch& piece : each.pieces) {
      for (int window = 0; window < piece.shape.batch; ++window) {
        write(piece.tokens_of(window), piece.targets_of(window));
      }
      counted += std::count_if(piece.targets.begin(), piece.targets.end(), [](int target) { return target >= 0; });
    }
  }
  float const scale = 1 / static_cast<float>(counted);
  pool_.run(static_cast<int>(shards_.size()), [&](int index) {
    shard& mine = shards_[static_cast<std::size_t>(index)];
    std::fill(mine.gradients.begin(), mine.gradients.end(), 0.0F);
    mine.loss = 0;
    for (token_batch const& piece : mine.pieces) {
      mine.loss += net_.loss_and_gradient(piece.shape, piece.tokens, piece.targets, scale, mine.work, mine.gradients);
    }
  });
  pool_.run(kRanges, [&](int range) { add_range(range); });
  double loss = 0;
  for (shard const& each : shards_) {
    loss += each.loss;
  }
  return loss / static_cast<double>(counted);
}

double gradient_sum::norm() const {
  double square = 0;
  for (double const each : partial_squares_) {
    square += each;
  }
  return std::sqrt(square);
}

void gradient_sum::apply(adamw& optimizer, parameter_set& parameters, float rate, float scale) {
  optimizer.begin_step();
  pool_.run(kRanges, [&](int range) {
    optimizer.update(parameters.values(), total_, parameters.decay_mask(), rate, scale, begin_of(range),
                     begin_of(range + 1));
  });
}

std::size_t gradient_sum::begin_of(int range) const {
  return total_.size() * static_cast<std::size_t>(range) / kRanges;
}

void gradient_sum::add_range(int range) {
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

}  // namespace example
