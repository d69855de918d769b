// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each mixer that the task is tried with: its gradients where only some positions have a target, and its decoding
// steps, from the start and after a prefill, against one forward over the whole sequence.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "support/check_gradients.hpp"
#include "support/model.hpp"

namespace {

using namespace example;

constexpr sequence_shape kShape{.batch = 3, .time = 41};
constexpr int kVocabulary = 13;

model make_model(std::string_view mixer) {
  model net({.kernel = std::string(mixer),
             .blocks = "ca",
             .vocabulary = kVocabulary,
             .positions = kShape.time,
             .width = 24,
             .heads = 2,
             .value_dim = 7,
             .softmax_key_dim = 11});
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 0.2F);
  for (float& value : net.parameters().values()) {
    value += normal(random);
  }
  return net;
}

std::vector<int> random_tokens() {
  std::mt19937 random(4);
  std::vector<int> tokens(static_cast<std::size_t>(kShape.rows()));
  std::generate(tokens.begin(), tokens.end(), [&] { return static_cast<int>(random() % kVocabulary); });
  return tokens;
}

/// Tokens [begin, end) of each sequence.
std::vector<int> cut(std::vector<int> const& tokens, int begin, int end) {
  std::vector<int> part;
  for (int b = 0; b < kShape.batch; ++b) {
    part.insert(part.end(), tokens.begin() + b * kShape.time + begin, tokens.begin() + b * kShape.time + end);
  }
  return part;
}

/// Largest difference of a logit between steps, after a prefill of `prefill` tokens, and `expected`.
double step_error(model const& net, std::vector<int> const& tokens, int prefill, std::vector<float> const& expected) {
  workspace work;
  decoder_state state = net.make_state(kShape.batch);
  if (prefill > 0) {
    net.forward({kShape.batch, prefill}, cut(tokens, 0, prefill), work, &state);
  }
  double worst = 0;
  for (int t = prefill; t < kShape.time; ++t) {
    float const* const logits = net.step(cut(tokens, t, t + 1), state, work);
    for (int b = 0; b < kShape.batch; ++b) {
      for (int n = 0; n < kVocabulary; ++n) {
        auto const at = static_cast<std::size_t>((b * kShape.time + t) * kVocabulary + n);
        double const error = std::abs(static_cast<double>(logits[b * kVocabulary + n] - expected[at]));
        worst = std::isnan(error) ? error : std::max(worst, error);
      }
    }
  }
  return worst;
}

TEST_CASE("gradients equal finite differences, where only some positions have a target") {
  for (std::string_view const mixer : mixer_names()) {
    CAPTURE(mixer);
    CHECK(check_gradients(std::string(mixer), check_targets::some));
  }
}

TEST_CASE("steps give the logits of one forward, from the start and after a prefill") {
  std::vector<int> const tokens = random_tokens();
  for (std::string_view const mixer : mixer_names()) {
    CAPTURE(mixer);
    model const net = make_model(mixer);
    workspace work;
    float const* const logits = net.forward(kShape, tokens, work);
    std::vector<float> const expected(logits, logits + kShape.rows() * kVocabulary);
    // Logits are some units large and sums of some hundred roundings of 6e-8; identity divides by sums that may be
    // small.
    double const bound = mixer == "identity" ? 1e-2 : 1e-4;
    CHECK(step_error(net, tokens, 0, expected) < bound);
    CHECK(step_error(net, tokens, 2, expected) < bound);
    CHECK(step_error(net, tokens, 20, expected) < bound);
  }
}

TEST_CASE("the logits of targets are those of their positions") {
  model const net = make_model("rebased");
  std::vector<int> const tokens = random_tokens();
  std::vector<int> targets(tokens.size(), -1);
  targets[5] = 2;
  targets[60] = 7;
  workspace all;
  workspace some;
  float const* const every = net.forward(kShape, tokens, all);
  float const* const picked = net.forward_targets(kShape, tokens, targets, some);
  REQUIRE(some.targets == std::vector<int>{2, 7});
  for (int n = 0; n < kVocabulary; ++n) {
    CHECK(picked[n] == doctest::Approx(every[5 * kVocabulary + n]).epsilon(1e-5));
    CHECK(picked[kVocabulary + n] == doctest::Approx(every[60 * kVocabulary + n]).epsilon(1e-5));
  }
}

TEST_CASE("softmax attention's state grows with the sequence, a linear one's does not") {
  for (std::string_view const mixer : {"softmax", "rebased", "mamba", "rwkv"}) {
    CAPTURE(mixer);
    model const net = make_model(mixer);
    workspace work;
    decoder_state state = net.make_state(kShape.batch);
    std::size_t const empty = state.bytes();
    net.step(cut(random_tokens(), 0, 1), state, work);
    CHECK((state.bytes() > empty) == (mixer == "softmax"));
  }
  // Two heads of 136 features, with sums of 7 values and of the features themselves.
  std::size_t const convolution = 2 * 24 * sizeof(float);
  CHECK(make_model("rebased").make_state(1).bytes() == convolution + 2 * 136 * (7 + 1) * sizeof(float));
}

}  // namespace
