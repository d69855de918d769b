// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// CHECK_WITHIN: every element within the oracle's own bound, |error| <= terms * eps * magnitude, plus one rounding to the
// element type. Matrix units round what they multiply: each such rounding on a path adds the roundoff of their format.
// The worst element is printed. There is no knob to widen a bound.
#ifndef LINATTN_TESTS_SUPPORT_TOLERANCE_HPP
#define LINATTN_TESTS_SUPPORT_TOLERANCE_HPP

#include "support/oracle.hpp"
#include "support/tracked.hpp"

#include <linattn/core/element.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace linattn_test {

/// What a result was computed in, and what it is stored in.
struct precision {
  linattn::element_kind stored = linattn::element_kind::float32;
  double terms = 1;  // how many roundings lie on one path
  double operand = 0;        // unit roundoff of the format of matrix units' factors; 0: they are not rounded
  double operand_terms = 0;  // how many roundings to it lie on one path
};

/// Roundings to the operand format on one path. From the states: the feature phi(k') of two coordinates is at most their
/// two roundings and its own, 3, and so is phi(q'); the values and the state are one each: 8. From scores: q' and k'
/// count with the score's power, 2 (1 + 1), the weight and the values are one each: 6. A constant factor that a map
/// multiplies into its rows is one more on either side: 10. What all this multiplies is the oracle's magnitude, which
/// holds the sums of absolute products: features that cancel are covered.
inline constexpr double operand_roundings = 10;

/// Unit roundoff: half the distance from 1 to the next number.
inline double roundoff(linattn::element_kind kind) {
  switch (kind) {
    case linattn::element_kind::float32: return 0x1p-24;
    case linattn::element_kind::float64: return 0x1p-53;
    case linattn::element_kind::bfloat16: return 0x1p-8;
    case linattn::element_kind::float16: return 0x1p-11;
  }
  return 0;
}

/// Half the distance between the smallest numbers, below which a rounding error is no longer relative.
inline double smallest_error(linattn::element_kind kind) {
  return kind == linattn::element_kind::float16 ? 0x1p-25 : (kind == linattn::element_kind::float64 ? 1e-300 : 1e-36);
}

inline double largest(linattn::element_kind kind) {
  switch (kind) {
    case linattn::element_kind::float32: return 0x1.fffffep127;
    case linattn::element_kind::float64: return (std::numeric_limits<double>::max)();
    case linattn::element_kind::bfloat16: return 0x1.fep127;
    case linattn::element_kind::float16: return 65504;
  }
  return 0;
}

/// What a sum over a sequence, a row and the values takes, and a few more for maps and normalizers.
inline precision precision_of(problem const& p, linattn::element_kind stored, double operand = 0) {
  return {stored, static_cast<double>(p.time + p.head_dim + p.value_dim) + 32, operand, operand_roundings};
}

/// A gradient's path holds all of a forward path, and the gradients of the weights and features along it.
inline precision gradient_precision_of(problem const& p, linattn::element_kind stored, double operand = 0) {
  precision precise = precision_of(p, stored, operand);
  precise.operand_terms *= 2;
  return precise;
}

struct comparison {
  bool ok = true;
  double worst = 0;  // error / bound
  std::string text = "sizes differ";
};

/// `slack`, if not empty, is added to the bound element by element.
inline comparison compare(std::vector<double> const& got, tracked_vector const& want, precision const& p,
                          std::vector<double> const& slack = {}) {
  if (got.size() != want.size()) {
    return {false, 0, "sizes differ: " + std::to_string(got.size()) + " and " + std::to_string(want.size())};
  }
  bool const wide = p.stored == linattn::element_kind::float64;
  // The oracle is itself a double computation: its error comes on top of that of a double result.
  double const eps = wide ? 2 * roundoff(p.stored) : roundoff(linattn::element_kind::float32);
  double const relative = p.terms * eps + p.operand_terms * p.operand;
  bool const rounds = p.stored == linattn::element_kind::bfloat16 || p.stored == linattn::element_kind::float16;
  comparison result{};
  std::size_t at = 0;
  double at_bound = 0;
  bool failed = false;
  for (std::size_t i = 0; i < got.size(); ++i) {
    double bound = relative * want[i].magnitude + (slack.empty() ? 0 : slack[i]);
    bound += rounds ? roundoff(p.stored) * (std::abs(want[i].value) + bound) : 0.0;
    bound += smallest_error(p.stored);
    double const error = std::abs(got[i] - want[i].value);
    bool const overflows = std::isinf(got[i]) && std::abs(want[i].value) + bound >= largest(p.stored) &&
                           (got[i] > 0) == (want[i].value > 0);
    bool const good = error <= bound || overflows;
    double const ratio = overflows ? 0 : error / bound;
    if ((!good && !failed) || (good == !failed && ratio > result.worst)) {
      result.worst = ratio;
      at = i;
      at_bound = bound;
    }
    failed = failed || !good;
  }
  result.ok = !failed;
  std::ostringstream text;
  text.precision(17);
  if (!got.empty()) {
    text << "worst at " << at << " of " << got.size() << ": got " << got[at] << ", want " << want[at].value
         << ", bound " << at_bound << ", " << result.worst << " times the bound";
  }
  result.text = text.str();
  return result;
}

}  // namespace linattn_test

#define CHECK_WITHIN(...)                                                           \
  do {                                                                              \
    ::linattn_test::comparison const comparison_ = ::linattn_test::compare(__VA_ARGS__); \
    CHECK_MESSAGE(comparison_.ok, #__VA_ARGS__ << ": " << comparison_.text);        \
  } while (false)

#endif
