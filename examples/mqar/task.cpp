// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// task.hpp: draws without replacement, and where they go.
#include "task.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/command_line.hpp"

namespace example {
namespace {

/// Spreads neighbouring seeds and indices over all 64 bits (SplitMix64's finaliser, Steele et al. 2014).
std::uint64_t scatter(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

/// SplitMix64: a generator that costs nothing to seed, which is done once an example.
class generator {
 public:
  explicit generator(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t const drawn = scatter(state_);
    state_ += 0x9E3779B97F4A7C15U;
    return drawn;
  }
  /// Uniform in (0, 1].
  double unit() { return static_cast<double>((next() >> 11U) + 1) * 0x1p-53; }
  /// Uniform in 0 .. bound-1.
  int below(int bound) { return static_cast<int>((next() >> 32U) * static_cast<std::uint64_t>(bound) >> 32U); }

 private:
  std::uint64_t state_;
};

/// `count` different numbers out of first .. first+range-1, in random order (the start of a Fisher-Yates shuffle).
std::vector<int> draw(generator& random, int first, int range, int count) {
  std::vector<int> all(static_cast<std::size_t>(range));
  std::iota(all.begin(), all.end(), first);
  for (int i = 0; i < count; ++i) {
    std::swap(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(i + random.below(range - i))]);
  }
  all.resize(static_cast<std::size_t>(count));
  return all;
}

/// `count` gaps, as if drawn one after the other, each with probability ~ weight among those left: the order of
/// exponential waiting times with the weights as rates (Efraimidis & Spirakis 2006).
std::vector<int> draw_gaps(generator& random, int range, int count, double exponent) {
  std::vector<std::pair<double, int>> waits(static_cast<std::size_t>(range));
  for (int g = 0; g < range; ++g) {
    waits[static_cast<std::size_t>(g)] = {-std::log(random.unit()) / std::pow(g + 1, exponent - 1), g};
  }
  std::partial_sort(waits.begin(), waits.begin() + count, waits.end());
  std::vector<int> gaps;
  for (int i = 0; i < count; ++i) {
    gaps.push_back(waits[static_cast<std::size_t>(i)].second);
  }
  return gaps;
}

}  // namespace

mqar_task::mqar_task(mqar_settings settings) : settings_(settings) {
  if (settings_.pairs < 1 || settings_.gaps() < settings_.pairs) {
    throw usage_error("--K " + std::to_string(settings_.pairs) + " with --T " + std::to_string(settings_.time) +
                      "; accepted: 1..T/4, since K keys, K values and K queries at every second place need 4 K tokens");
  }
  if (settings_.vocabulary / 2 - 1 < settings_.pairs) {
    throw usage_error("--N " + std::to_string(settings_.vocabulary) + " with --K " + std::to_string(settings_.pairs) +
                      "; accepted: N >= " + std::to_string(2 * settings_.pairs + 2) + ", for K different keys");
  }
}

void mqar_task::write(std::uint64_t index, std::span<int> tokens, std::span<int> targets) const {
  generator random(scatter(scatter(settings_.data_seed) + index));
  int const half = settings_.vocabulary / 2;
  std::vector<int> const keys = draw(random, 1, half - 1, settings_.pairs);
  std::vector<int> const values = draw(random, half, settings_.vocabulary - half, settings_.pairs);
  std::vector<int> const gaps = draw_gaps(random, settings_.gaps(), settings_.pairs, settings_.gap_exponent);
  std::fill(tokens.begin(), tokens.end(), 0);
  std::fill(targets.begin(), targets.end(), kNoTarget);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    tokens[2 * i] = keys[i];
    tokens[2 * i + 1] = values[i];
    std::size_t const query = 2 * (keys.size() + static_cast<std::size_t>(gaps[i]));
    tokens[query] = keys[i];
    targets[query] = values[i];
  }
}

}  // namespace example
