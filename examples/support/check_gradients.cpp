// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// check_gradients.hpp: float arithmetic, so a central difference along a random direction over all parameters of a
// slice, not one parameter at a time: the signal grows with the slice, the rounding error does not.
#include "check_gradients.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "model.hpp"

namespace example {
namespace {

constexpr sequence_shape kShape{.batch = 2, .time = 70};  // more than two chunks of 32, and ragged
constexpr int kVocabulary = 11;
// A square may be near 0, and with it the sum of a text's first weights: the quotient then bends within any step that
// float can resolve. A large eps keeps it smooth; its derivative is checked all the same.
constexpr double kEps = 0.05;
constexpr std::size_t kSlice = 48;
constexpr float kStep = 2e-3F;
constexpr double kTolerance = 2e-2;  // of the slope, or of 1 where that is larger

/// A batch of a tiny model, and its loss.
class checked_batch {
 public:
  checked_batch(model& net, check_targets which, std::mt19937& random)
      : net_(net),
        tokens_(static_cast<std::size_t>(kShape.rows())),
        targets_(tokens_.size()),
        gradient_(net.parameters().size(), 0.0F) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      tokens_[i] = static_cast<int>(random() % kVocabulary);
      targets_[i] = static_cast<int>(random() % kVocabulary);
      if (which == check_targets::some && random() % 3 != 0) {
        targets_[i] = -1;
      }
    }
    net_.loss_and_gradient(kShape, tokens_, targets_, 1, work_, gradient_);
  }

  double loss() {
    float* const logits = net_.forward_targets(kShape, tokens_, targets_, work_);
    return cross_entropy(logits, work_.targets, kVocabulary, 0);
  }
  std::span<float const> gradient() const { return gradient_; }

 private:
  model& net_;
  std::vector<int> tokens_, targets_;
  workspace work_;
  buffer gradient_;
};

/// The slope of the loss along `direction` over the parameters from `first` on.
double measure_slope(checked_batch& batch, std::span<float> values, std::size_t first,
                     std::vector<float> const& direction) {
  std::span<float> const slice = values.subspan(first, direction.size());
  std::vector<float> const start(slice.begin(), slice.end());
  auto along = [&](float step) {
    for (std::size_t i = 0; i < slice.size(); ++i) {
      slice[i] = start[i] + step * direction[i];
    }
    return batch.loss();
  };
  // Fourth-order differences: the truncation error stays below the rounding error.
  double const near = along(kStep) - along(-kStep);
  double const far = along(2 * kStep) - along(-2 * kStep);
  std::copy(start.begin(), start.end(), slice.begin());
  return (8 * near - far) / (12 * static_cast<double>(kStep));
}

}  // namespace

bool check_gradients(std::string const& mixer, check_targets targets) {
  model net({.kernel = mixer,
             .blocks = "caca",
             .vocabulary = kVocabulary,
             .positions = targets == check_targets::some ? kShape.time : 0,
             .width = 24,
             .heads = 2,
             .value_dim = 5,
             .taps = 3,
             .eps = kEps,
             .softmax_key_dim = 11,
             .seed = 7});
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  // Away from the start values, so that no gradient is small by construction.
  for (float& value : net.parameters().values()) {
    value += 0.15F * normal(random);
  }
  checked_batch batch(net, targets, random);
  std::span<float> const values = net.parameters().values();
  int wrong = 0;
  double worst = 0;
  std::size_t slices = 0;
  for (std::size_t first = 0; first < values.size(); first += kSlice, ++slices) {
    std::vector<float> direction(std::min(kSlice, values.size() - first));
    double expected = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = normal(random);
      expected += static_cast<double>(batch.gradient()[first + i]) * static_cast<double>(direction[i]);
    }
    double const measured = measure_slope(batch, values, first, direction);
    double const error = std::abs(measured - expected) / (1 + std::abs(expected));
    worst = std::max(worst, error);
    if (!(error < kTolerance)) {
      ++wrong;
      std::printf("parameters %zu..%zu: gradient %.5f, differences %.5f\n", first, first + direction.size(), expected,
                  measured);
    }
  }
  std::printf("%s: %zu slices of parameters, largest relative error %.1e, %d wrong\n", mixer.c_str(), slices, worst,
              wrong);
  return wrong == 0;
}

}  // namespace example
