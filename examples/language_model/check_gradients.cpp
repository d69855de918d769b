// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// check_gradients.hpp: float arithmetic, so a central difference along a random direction over all parameters of a
// slice, not one parameter at a time: the signal grows with the slice, the rounding error does not.
#include "check_gradients.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "support/model.hpp"

namespace example {
namespace {

constexpr int kTime = 70;  // more than two chunks of 32, and ragged
constexpr int kBatch = 2;
constexpr int kVocabulary = 11;
// A square may be near 0, and with it the sum of a text's first weights: the quotient then bends within any step that
// float can resolve. A large eps keeps it smooth; its derivative is checked all the same.
constexpr double kEps = 0.05;
constexpr std::size_t kSlice = 48;
constexpr float kStep = 2e-3F;

}  // namespace

bool check_gradients(std::string const& kernel) {
  model net({.kernel = kernel,
             .blocks = "caca",
             .vocabulary = kVocabulary,
             .width = 24,
             .heads = 2,
             .value_dim = 5,
             .taps = 3,
             .eps = kEps,
             .seed = 7});
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  // Away from the start values, so that no gradient is small by construction.
  for (float& value : net.parameters().values()) {
    value += 0.15F * normal(random);
  }
  sequence_shape const shape{kBatch, kTime};
  std::vector<int> tokens(static_cast<std::size_t>(shape.rows()));
  std::vector<int> targets(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int>(random() % kVocabulary);
    targets[i] = static_cast<int>(random() % kVocabulary);
  }
  workspace work;
  auto loss = [&] {
    float* const logits = net.forward(shape, tokens, work);
    return cross_entropy(logits, targets, kVocabulary, 0);
  };
  buffer gradient(net.parameters().size(), 0.0F);
  net.loss_and_gradient(shape, tokens, targets, 1, work, gradient);

  std::span<float> const values = net.parameters().values();
  std::vector<float> const start(values.begin(), values.end());
  int wrong = 0;
  double worst = 0;
  std::size_t slices = 0;
  for (std::size_t first = 0; first < values.size(); first += kSlice, ++slices) {
    std::size_t const last = std::min(first + kSlice, values.size());
    std::vector<float> direction(last - first);
    double expected = 0;
    for (std::size_t i = first; i < last; ++i) {
      direction[i - first] = normal(random);
      expected += static_cast<double>(gradient[i]) * static_cast<double>(direction[i - first]);
    }
    auto along = [&](float step) {
      for (std::size_t i = first; i < last; ++i) {
        values[i] = start[i] + step * direction[i - first];
      }
      return loss();
    };
    // Fourth-order differences: the truncation error stays below the rounding error.
    double const near = along(kStep) - along(-kStep);
    double const far = along(2 * kStep) - along(-2 * kStep);
    double const measured = (8 * near - far) / (12 * static_cast<double>(kStep));
    std::copy(start.begin() + static_cast<std::ptrdiff_t>(first), start.begin() + static_cast<std::ptrdiff_t>(last),
              values.begin() + static_cast<std::ptrdiff_t>(first));
    double const error = std::abs(measured - expected) / (1 + std::abs(expected));
    worst = std::max(worst, error);
    if (!(error < 2e-2)) {
      ++wrong;
      std::printf("parameters %zu..%zu: gradient %.5f, differences %.5f\n", first, last, expected, measured);
    }
  }
  std::printf("%s: %zu slices of parameters, largest relative error %.1e, %d wrong\n", kernel.c_str(), slices, worst,
              wrong);
  return wrong == 0;
}

}  // namespace example
