// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A long sequence in float: the relative error of its last tokens against an O(T) reference in double, written here from
// the formula of Based's map.
#include "support/random.hpp"
#include "support/variants.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {
namespace {

constexpr std::size_t d = 16;
constexpr std::size_t values = 64;

/// 1, x_i, x_i x_j / sqrt2 over all i and j, of x / d^(1/4): 273 features, none of them packed.
std::vector<double> features(float const* row) {
  std::vector<double> phi(1, 1.0);
  for (std::size_t i = 0; i < d; ++i) {
    phi.push_back(static_cast<double>(row[i]) / std::pow(static_cast<double>(d), 0.25));
  }
  for (std::size_t i = 0; i < d; ++i) {
    for (std::size_t j = 0; j < d; ++j) {
      phi.push_back(phi[1 + i] * phi[1 + j] / std::sqrt(2.0));
    }
  }
  return phi;
}

raw_tensor rows(std::vector<float>& numbers, std::size_t channels) {
  auto const width = static_cast<std::int64_t>(channels);
  auto const size = static_cast<std::int64_t>(numbers.size());
  return {numbers.data(), {1, 1, size / width, width}, {size, size, width, 1}};
}

TEST_CASE("at T = 131072 the last 1024 tokens have a relative error of at most 2e-6 in float") {
  constexpr std::size_t time = 131072;
  constexpr std::size_t tail = 1024;
  random_source source(7);
  auto const random = [&](std::size_t count) {
    std::vector<float> numbers(count);
    for (float& number : numbers) {
      number = static_cast<float>(source.normal());
    }
    return numbers;
  };
  std::vector<float> q = random(time * d);
  std::vector<float> k = random(time * d);
  std::vector<float> v = random(time * values);
  std::vector<float> out(time * values);
  call c;
  c.q = rows(q, d);
  c.k = rows(k, d);
  c.v = rows(v, values);
  c.out = rows(out, values);
  variant_named("taylor", 16).verbs(0, linattn::element_kind::float32).forward(c);

  constexpr std::size_t width = values + 1;  // the last column sums the weights
  std::vector<double> state((1 + d + d * d) * width);
  double error = 0;
  double size = 0;
  for (std::size_t t = 0; t < time; ++t) {
    std::vector<double> const key = features(&k[t * d]);
    for (std::size_t n = 0; n < key.size(); ++n) {
      for (std::size_t e = 0; e < values; ++e) {
        state[n * width + e] += key[n] * static_cast<double>(v[t * values + e]);
      }
      state[n * width + values] += key[n];
    }
    if (t + tail < time) {
      continue;
    }
    std::vector<double> const query = features(&q[t * d]);
    std::vector<double> sums(width);
    for (std::size_t n = 0; n < query.size(); ++n) {
      for (std::size_t e = 0; e < width; ++e) {
        sums[e] += query[n] * state[n * width + e];
      }
    }
    for (std::size_t e = 0; e < values; ++e) {
      double const want = sums[e] / (sums[values] + 1e-6);
      double const difference = static_cast<double>(out[t * values + e]) - want;
      error += difference * difference;
      size += want * want;
    }
  }
  double const relative = std::sqrt(error / size);
  MESSAGE("relative error " << relative);
  CHECK(relative <= 2e-6);
}

}  // namespace
}  // namespace linattn_test
