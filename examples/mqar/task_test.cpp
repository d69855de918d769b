// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The generator against its definition: ranges, distinctness, places, labels, and the distribution of the gaps.
#include "task.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "support/command_line.hpp"

namespace {

using example::mqar_settings;
using example::mqar_task;

struct written_example {
  written_example(mqar_task const& task, std::uint64_t index)
      : tokens(static_cast<std::size_t>(task.settings().time), -7), targets(tokens.size(), -7) {
    task.write(index, tokens, targets);
  }
  std::vector<int> tokens, targets;
};

/// sum (seen - expected)^2 / expected, where `seen` counts draws of probability `share`.
double chi_square(std::vector<double> const& seen, std::vector<double> const& share) {
  double draws = 0;
  double total = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    draws += seen[i];
    total += share[i];
  }
  double sum = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    double const expected = draws * share[i] / total;
    sum += (seen[i] - expected) * (seen[i] - expected) / expected;
  }
  return sum;
}

/// Chi-square exceeds this once in some 30,000 seeds (four deviations; its mean is the degrees of freedom).
double limit(std::size_t cells) {
  double const freedom = static_cast<double>(cells - 1);
  return freedom + 4 * std::sqrt(2 * freedom);
}

TEST_CASE("pairs come first, then each key once, at an even place, and its target is its value") {
  for (mqar_settings const& settings : {mqar_settings{}, mqar_settings{.time = 32, .pairs = 8, .vocabulary = 18},
                                        mqar_settings{.time = 67, .pairs = 1, .vocabulary = 5},
                                        mqar_settings{.time = 512, .pairs = 128, .vocabulary = 8192}}) {
    mqar_task const task(settings);
    CAPTURE(settings.time);
    for (std::uint64_t index = 0; index < 50; ++index) {
      written_example const written(task, index);
      std::map<int, int> value_of;
      std::set<int> values;
      std::size_t const context = 2 * static_cast<std::size_t>(settings.pairs);
      for (std::size_t i = 0; i < context; i += 2) {
        REQUIRE(written.tokens[i] >= 1);
        REQUIRE(written.tokens[i] < settings.vocabulary / 2);
        REQUIRE(written.tokens[i + 1] >= settings.vocabulary / 2);
        REQUIRE(written.tokens[i + 1] < settings.vocabulary);
        value_of[written.tokens[i]] = written.tokens[i + 1];
        values.insert(written.tokens[i + 1]);
      }
      REQUIRE(value_of.size() == static_cast<std::size_t>(settings.pairs));
      REQUIRE(values.size() == value_of.size());
      std::set<int> asked;
      for (std::size_t i = 0; i < written.tokens.size(); ++i) {
        if (i >= context && written.tokens[i] != 0) {
          REQUIRE(i % 2 == 0);
          REQUIRE(value_of.contains(written.tokens[i]));
          REQUIRE(written.targets[i] == value_of[written.tokens[i]]);
          asked.insert(written.tokens[i]);
        } else {
          REQUIRE(written.targets[i] == example::kNoTarget);
        }
      }
      REQUIRE(asked.size() == value_of.size());
    }
  }
}

TEST_CASE("keys and values are uniform over their ranges") {
  mqar_settings const settings{.time = 32, .pairs = 4, .vocabulary = 64};
  mqar_task const task(settings);
  std::vector<double> first_keys(31);
  std::vector<double> last_values(32);
  for (std::uint64_t index = 0; index < 20000; ++index) {
    written_example const written(task, index);
    first_keys[static_cast<std::size_t>(written.tokens[0] - 1)] += 1;
    last_values[static_cast<std::size_t>(written.tokens[7] - 32)] += 1;
  }
  CHECK(chi_square(first_keys, std::vector<double>(31, 1)) < limit(31));
  CHECK(chi_square(last_values, std::vector<double>(32, 1)) < limit(32));
}

TEST_CASE("the first key's gap has probability ~ (g+1)^(a-1), and the second's follows from what the first left") {
  mqar_settings const settings{.time = 48, .pairs = 2, .vocabulary = 16};
  mqar_task const task(settings);
  auto const gaps = static_cast<std::size_t>(settings.gaps());
  std::vector<double> weight(gaps);
  double total = 0;
  for (std::size_t g = 0; g < gaps; ++g) {
    weight[g] = std::pow(static_cast<double>(g + 1), settings.gap_exponent - 1);
    total += weight[g];
  }
  std::vector<double> second(gaps);
  for (std::size_t g = 0; g < gaps; ++g) {
    for (std::size_t first = 0; first < gaps; ++first) {
      second[g] += first == g ? 0 : weight[first] / total * weight[g] / (total - weight[first]);
    }
  }
  std::vector<double> seen_first(gaps);
  std::vector<double> seen_second(gaps);
  for (std::uint64_t index = 0; index < 40000; ++index) {
    written_example const written(task, index);
    for (std::size_t at = 4; at < written.tokens.size(); ++at) {
      if (written.tokens[at] == written.tokens[0]) {
        seen_first[(at - 4) / 2] += 1;
      } else if (written.tokens[at] == written.tokens[2]) {
        seen_second[(at - 4) / 2] += 1;
      }
    }
  }
  CHECK(chi_square(seen_first, weight) < limit(gaps));
  CHECK(chi_square(seen_second, second) < limit(gaps));
  // The test can fail: neither uniform gaps nor a power that is a little off would pass.
  CHECK(chi_square(seen_first, std::vector<double>(gaps, 1)) > limit(gaps));
  std::vector<double> steeper(gaps);
  for (std::size_t g = 0; g < gaps; ++g) {
    steeper[g] = std::pow(weight[g], 1.1);
  }
  CHECK(chi_square(seen_first, steeper) > limit(gaps));
}

TEST_CASE("an example depends on the seed and its index alone") {
  mqar_task const task({.data_seed = 5});
  written_example const once(task, 17);
  CHECK(once.tokens == written_example(task, 17).tokens);
  CHECK(once.tokens != written_example(task, 18).tokens);
  CHECK(once.tokens != written_example(mqar_task({.data_seed = 6}), 17).tokens);
}

TEST_CASE("settings that cannot hold are refused with what is accepted") {
  CHECK_THROWS_WITH_AS(mqar_task({.time = 64, .pairs = 17}), doctest::Contains("--K 17 with --T 64; accepted: 1..T/4"),
                       example::usage_error);
  CHECK_THROWS_AS(mqar_task({.pairs = 0}), example::usage_error);
  CHECK_THROWS_WITH_AS(mqar_task({.pairs = 8, .vocabulary = 16}), doctest::Contains("N >= 18"), example::usage_error);
  CHECK_NOTHROW(mqar_task({.time = 64, .pairs = 16, .vocabulary = 34}));
}

}  // namespace
