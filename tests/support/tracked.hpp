// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// tracked: a double with the magnitude that rounding acts on. A sum adds magnitudes, whatever the signs, so that
// `n_terms * eps * magnitude` bounds the error of a computation in a precision eps. Not interval arithmetic: first order.
#ifndef LINATTN_TESTS_SUPPORT_TRACKED_HPP
#define LINATTN_TESTS_SUPPORT_TRACKED_HPP

#include <cmath>
#include <vector>

namespace linattn_test {

struct tracked {
  double value = 0;
  double magnitude = 0;

  tracked() = default;
  tracked(double number) : value(number), magnitude(std::abs(number)) {}
  tracked(double number, double size) : value(number), magnitude(size) {}

  tracked& operator+=(tracked other) {
    value += other.value;
    magnitude += other.magnitude;
    return *this;
  }
};

inline tracked operator+(tracked a, tracked b) { return a += b; }
inline tracked operator-(tracked a, tracked b) { return {a.value - b.value, a.magnitude + b.magnitude}; }
inline tracked operator*(tracked a, tracked b) { return {a.value * b.value, a.magnitude * b.magnitude}; }
inline tracked operator-(tracked a) { return {-a.value, a.magnitude}; }

/// The error of the denominator counts with |quotient| / |denominator|.
inline tracked operator/(tracked a, tracked b) {
  double const size = std::abs(b.value);
  return {a.value / b.value, a.magnitude / size + std::abs(a.value) * b.magnitude / (size * size)};
}

inline tracked reciprocal_sqrt(tracked x) {
  double const root = 1 / std::sqrt(x.value);
  return {root, root * (1 + 0.5 * x.magnitude / x.value)};
}

inline tracked exponential(tracked x) {
  double const value = std::exp(x.value);
  return {value, value * (1 + x.magnitude)};
}

/// f, a function with |f| <= 1 and |f'| <= 1, has been applied to x: a sine or a cosine.
inline tracked bounded_by_one(double value, tracked x) { return {value, 1 + x.magnitude}; }

using tracked_vector = std::vector<tracked>;

inline std::vector<double> values_of(tracked_vector const& numbers) {
  std::vector<double> values;
  values.reserve(numbers.size());
  for (tracked const& number : numbers) {
    values.push_back(number.value);
  }
  return values;
}

}  // namespace linattn_test

#endif
