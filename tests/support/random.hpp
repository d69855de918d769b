// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Seeded random numbers that are the same with every compiler and library, and rounding to element types.
#ifndef LINATTN_TESTS_SUPPORT_RANDOM_HPP
#define LINATTN_TESTS_SUPPORT_RANDOM_HPP

#include <linattn/core/element.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

namespace linattn_test {

/// splitmix64: small, good enough, and reproducible.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  /// Uniform on (0, 1).
  double uniform() { return (static_cast<double>(bits() >> 11U) + 0.5) * 0x1p-53; }
  /// N(0, 1), Box and Muller.
  double normal() {
    double const radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
  /// 0 .. count - 1.
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(bits() % count); }

 private:
  std::uint64_t state_;
};

template <class E>
double to_double(E x) {
  if constexpr (std::floating_point<E>) {
    return static_cast<double>(x);
  } else {
    return static_cast<double>(static_cast<float>(x));
  }
}

template <class E>
E from_double(double x) {
  if constexpr (std::floating_point<E>) {
    return static_cast<E>(x);
  } else {
    return E(static_cast<float>(x));
  }
}

/// The nearest number that the element type holds, up to one double rounding.
template <class E>
double rounded_to(double x) {
  return to_double(from_double<E>(x));
}

inline double rounded_to(linattn::element_kind kind, double x) {
  switch (kind) {
    case linattn::element_kind::float32: return rounded_to<float>(x);
    case linattn::element_kind::float64: return x;
    case linattn::element_kind::bfloat16: return rounded_to<linattn::bf16>(x);
    case linattn::element_kind::float16: return rounded_to<linattn::f16>(x);
  }
  return x;
}

inline std::vector<double> normal_numbers(random_source& source, std::size_t count, linattn::element_kind kind,
                                          double mean = 0, double deviation = 1) {
  std::vector<double> numbers(count);
  for (double& number : numbers) {
    number = rounded_to(kind, mean + deviation * source.normal());
  }
  return numbers;
}

}  // namespace linattn_test

#endif
