// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Multi-query associative recall (MQAR; Zoology, arXiv:2312.04927): key-value pairs, then each key once more, and the
// model must name its value. Examples are made when they are asked for, each from its own seed: a data set is a number
// of examples and a seed, and takes no memory. Knows nothing of models.
#pragma once

#include <cstdint>
#include <span>

namespace example {

struct mqar_settings {
  int time = 64;                // T, tokens of an example
  int pairs = 8;                // K, keys that it defines and asks for
  int vocabulary = 256;         // N: 0 is filler, 1 .. N/2-1 are keys, N/2 .. N-1 values
  double gap_exponent = 0.01;   // a: a key is asked at gap g with probability ~ (g+1)^(a-1)
  std::uint64_t data_seed = 1;  // of the whole data set

  /// Places at which a key may be asked: every second one after the pairs.
  int gaps() const { return (time - 2 * pairs) / 2; }
};

/// No target at this position.
inline constexpr int kNoTarget = -1;

class mqar_task {
 public:
  /// Throws usage_error where the settings cannot hold: T too short for K pairs and K queries, N for K keys.
  explicit mqar_task(mqar_settings settings);

  mqar_settings const& settings() const { return settings_; }

  /// Example number `index` of the data set: T tokens, and T targets, which are kNoTarget but at the queries.
  void write(std::uint64_t index, std::span<int> tokens, std::span<int> targets) const;

 private:
  mqar_settings settings_;
};

}  // namespace example
