// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The element types of tensors: float, double and the 16-bit storage types bf16 and f16. The 16-bit types only store;
// arithmetic is done in accumulator_t. Their bits are those of CUDA's, ATen's, ggml's and ONNX's types.
#ifndef LINATTN_CORE_ELEMENT_HPP
#define LINATTN_CORE_ELEMENT_HPP

#include <linattn/core/config.hpp>

#include <concepts>
#include <cstdint>

namespace linattn::inline LINATTN_ABI {

namespace detail {

// The builtin, because std::bit_cast is a host function to nvcc.
LINATTN_HOST_DEVICE constexpr float float_of_bits(std::uint32_t bits) noexcept { return __builtin_bit_cast(float, bits); }
LINATTN_HOST_DEVICE constexpr std::uint32_t bits_of_float(float value) noexcept {
  return __builtin_bit_cast(std::uint32_t, value);
}

// Conversions use integer arithmetic only, so that they stay right under -ffast-math and with denormals flushed.
LINATTN_HOST_DEVICE constexpr float bf16_to_float(std::uint16_t bits) noexcept {
  return float_of_bits(static_cast<std::uint32_t>(bits) << 16U);
}

LINATTN_HOST_DEVICE constexpr std::uint16_t float_to_bf16(float value) noexcept {
  std::uint32_t const bits = bits_of_float(value);
  bool const is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  std::uint32_t const rounded = (bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U;   // to nearest, ties to even
  return static_cast<std::uint16_t>(is_nan ? ((bits >> 16U) | 0x40U) : rounded);  // a NaN stays a (quiet) NaN
}

LINATTN_HOST_DEVICE constexpr float f16_to_float(std::uint16_t half) noexcept {
  std::uint32_t const sign = (half & 0x8000U) << 16U;
  std::uint32_t const magnitude = half & 0x7fffU;
  std::uint32_t const normal = (magnitude << 13U) + (112U << 23U);
  std::uint32_t const special = (magnitude << 13U) + (224U << 23U);  // infinity and NaN
  // Denormals: put the mantissa below 2^-14 and take 2^-14 away again, exactly.
  float const denormal = float_of_bits((113U << 23U) + (magnitude << 13U)) - float_of_bits(113U << 23U);
  std::uint32_t const bits =
      magnitude >= 0x7c00U ? special : (magnitude < 0x400U ? bits_of_float(denormal) : normal);
  return float_of_bits(bits | sign);
}

LINATTN_HOST_DEVICE constexpr std::uint16_t float_to_f16(float value) noexcept {
  std::uint32_t const bits = bits_of_float(value);
  std::uint32_t const sign = (bits >> 16U) & 0x8000U;
  std::uint32_t const magnitude = bits & 0x7fffffffU;
  // Denormal results: adding 2^-1 aligns the mantissa so that the float adder rounds it to nearest even. What is too
  // large for it is cut off, and unused: a minimum, because g++ vectorises no branch around an addition.
  std::uint32_t const clamped = magnitude < 0x38800000U ? magnitude : 0x38800000U;
  float const aligned = float_of_bits(clamped) + 0.5F;
  std::uint32_t const denormal = bits_of_float(aligned) - 0x3f000000U;
  std::uint32_t const normal = (magnitude + 0xfffU + ((magnitude >> 13U) & 1U) - (112U << 23U)) >> 13U;
  std::uint32_t const special = magnitude > 0x7f800000U ? 0x7e00U : 0x7c00U;
  std::uint32_t const half =
      magnitude >= 0x47800000U ? special : (magnitude < 0x38800000U ? denormal : normal);
  return static_cast<std::uint16_t>(half | sign);
}

}  // namespace detail

/// bfloat16 storage: 8 exponent bits, 7 mantissa bits; converts to nearest even.
struct bf16 {
  std::uint16_t bits;

  bf16() = default;
  LINATTN_HOST_DEVICE explicit constexpr bf16(float value) noexcept : bits(detail::float_to_bf16(value)) {}
  LINATTN_HOST_DEVICE explicit constexpr operator float() const noexcept { return detail::bf16_to_float(bits); }
};

/// IEEE binary16 storage: 5 exponent bits, 10 mantissa bits; converts to nearest even, overflows to infinity.
struct f16 {
  std::uint16_t bits;

  f16() = default;
  LINATTN_HOST_DEVICE explicit constexpr f16(float value) noexcept : bits(detail::float_to_f16(value)) {}
  LINATTN_HOST_DEVICE explicit constexpr operator float() const noexcept { return detail::f16_to_float(bits); }
};

/// Element types that tensors may hold.
template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16> || std::same_as<T, f16>;

/// The same as a run-time value: one compiled engine serves float, bf16 and f16.
enum class element_kind : std::uint8_t { float32, float64, bfloat16, float16 };

namespace detail {
template <class T>
struct element_traits {
  using accumulator = float;
};
template <>
struct element_traits<double> {
  using accumulator = double;
};
}  // namespace detail

/// What sums, states and denominators are kept in: double for double, float for everything else.
template <Element T>
using accumulator_t = typename detail::element_traits<T>::accumulator;

template <Element T>
inline constexpr element_kind element_kind_of =
    std::same_as<T, float>    ? element_kind::float32
    : std::same_as<T, double> ? element_kind::float64
    : std::same_as<T, bf16>   ? element_kind::bfloat16
                              : element_kind::float16;

}  // namespace linattn::inline LINATTN_ABI

#endif
