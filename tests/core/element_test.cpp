// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// bf16 and f16: every pattern there and back, and every kind of rounding against exact arithmetic in double.
#include <linattn/core/element.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <type_traits>

namespace {

using linattn::bf16;
using linattn::f16;

static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2);
static_assert(std::is_trivially_copyable_v<bf16> && std::is_trivially_default_constructible_v<f16>);
static_assert(std::same_as<linattn::accumulator_t<bf16>, float> && std::same_as<linattn::accumulator_t<f16>, float>);
static_assert(std::same_as<linattn::accumulator_t<float>, float> && std::same_as<linattn::accumulator_t<double>, double>);
static_assert(linattn::Element<bf16> && linattn::Element<double> && !linattn::Element<int> &&
              !linattn::Element<long double>);
static_assert(linattn::element_kind_of<f16> == linattn::element_kind::float16);

/// The value of a pattern by the definition of the formats, in double.
double value_of(std::uint16_t bits, int exponent_bits, int mantissa_bits) {
  int const bias = (1 << (exponent_bits - 1)) - 1;
  int const exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  int const mantissa = bits & ((1 << mantissa_bits) - 1);
  double const sign = (bits & 0x8000U) != 0 ? -1 : 1;
  double const fraction = std::ldexp(mantissa, -mantissa_bits);
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias) : sign * std::ldexp(1 + fraction, exponent - bias);
}

template <class E>
struct format;
template <>
struct format<bf16> {
  static constexpr int exponent_bits = 8, mantissa_bits = 7;
  static constexpr std::uint16_t infinity = 0x7f80;
};
template <>
struct format<f16> {
  static constexpr int exponent_bits = 5, mantissa_bits = 10;
  static constexpr std::uint16_t infinity = 0x7c00;
};

template <class E>
double value_of(std::uint16_t bits) {
  return value_of(bits, format<E>::exponent_bits, format<E>::mantissa_bits);
}

template <class E>
E from_bits(std::uint16_t bits) {
  return std::bit_cast<E>(bits);
}

TEST_CASE_TEMPLATE("all 65536 patterns widen to their value and come back unchanged", E, bf16, f16) {
  int wrong_value = 0;
  int wrong_pattern = 0;
  for (std::uint32_t i = 0; i <= 0xffffU; ++i) {
    auto const bits = static_cast<std::uint16_t>(i);
    double const expected = value_of<E>(bits);
    auto const widened = static_cast<float>(from_bits<E>(bits));
    if (std::isnan(expected)) {
      wrong_value += std::isnan(widened) ? 0 : 1;
      float const again = static_cast<float>(E(widened));
      wrong_pattern += std::isnan(again) && std::signbit(again) == std::signbit(widened) ? 0 : 1;
      continue;
    }
    wrong_value += static_cast<double>(widened) == expected && std::signbit(widened) == ((bits >> 15U) != 0) ? 0 : 1;
    wrong_pattern += E(widened).bits == bits ? 0 : 1;
  }
  CHECK(wrong_value == 0);
  CHECK(wrong_pattern == 0);
}

TEST_CASE_TEMPLATE("between any two neighbours, floats round to the nearer one and ties to the even one", E, bf16, f16) {
  int wrong = 0;
  for (std::uint16_t bits = 0; bits < format<E>::infinity; ++bits) {
    double const low = value_of<E>(bits);
    auto const next = static_cast<std::uint16_t>(bits + 1);
    bool const at_the_top = next == format<E>::infinity;
    double const high = at_the_top ? low + (low - value_of<E>(static_cast<std::uint16_t>(bits - 1))) : value_of<E>(next);
    auto const middle = static_cast<float>(0.5 * (low + high));  // exact: one more bit
    if (static_cast<double>(middle) != 0.5 * (low + high)) {
      continue;  // bf16's denormals at the very bottom of float
    }
    std::uint16_t const even = (bits & 1U) == 0 ? bits : next;
    auto const check = [&](float value, std::uint16_t expected) {
      wrong += E(value).bits == expected ? 0 : 1;
      wrong += E(-value).bits == (expected | 0x8000U) ? 0 : 1;
    };
    check(middle, even);
    check(std::nextafter(middle, 0.0F), bits);
    check(std::nextafter(middle, std::numeric_limits<float>::max()), next);
  }
  CHECK(wrong == 0);
}

TEST_CASE("overflow becomes infinity, and only from half a unit above the largest number") {
  float const infinity = std::numeric_limits<float>::infinity();
  CHECK(f16(65504.0F).bits == 0x7bff);
  CHECK(f16(65519.996F).bits == 0x7bff);
  CHECK(f16(65520.0F).bits == 0x7c00);
  CHECK(f16(-1e30F).bits == 0xfc00);
  CHECK(f16(infinity).bits == 0x7c00);
  CHECK(bf16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(bf16(-infinity).bits == 0xff80);
}

TEST_CASE("a NaN stays a NaN, also one whose payload is in the bits that are cut off") {
  for (std::uint32_t bits : {0x7f800001U, 0xff800001U, 0x7fc00000U, 0x7fffffffU, 0x7f80ffffU}) {
    CAPTURE(bits);
    auto const nan = std::bit_cast<float>(bits);
    CHECK(std::isnan(static_cast<float>(bf16(nan))));
    CHECK(std::isnan(static_cast<float>(f16(nan))));
  }
}

TEST_CASE("numbers below half of the smallest denormal become zero with their sign") {
  CHECK(f16(0x1p-25F).bits == 0);  // a tie: to even
  CHECK(f16(std::nextafter(0x1p-25F, 1.0F)).bits == 1);
  CHECK(f16(-0x1p-26F).bits == 0x8000);
  CHECK(f16(std::numeric_limits<float>::denorm_min()).bits == 0);
  CHECK(f16(0x1.ffcp-15F).bits == 0x0400);  // rounds up to the smallest normal number
  CHECK(bf16(-0.0F).bits == 0x8000);
}

TEST_CASE("conversions work at compile time") {
  static_assert(bf16(1.0F).bits == 0x3f80 && static_cast<float>(bf16(-2.5F)) == -2.5F);
  static_assert(f16(1.0F).bits == 0x3c00 && static_cast<float>(f16(0.333251953125F)) == 0.333251953125F);
}

}  // namespace
