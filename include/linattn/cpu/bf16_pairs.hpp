// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operands of the matrix product in bf16, two neighbours along its depth in a word: twice the multiply-adds an
// instruction, on CPUs that have it. Sums stay float.
#ifndef LINATTN_CPU_BF16_PAIRS_HPP
#define LINATTN_CPU_BF16_PAIRS_HPP

#include <linattn/core/config.hpp>
#include <linattn/cpu/simd.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Whether products that sum in Real can take pairs.
template <class Real>
inline constexpr bool has_bf16_products = LINATTN_AVX512_BF16 != 0 && std::is_same_v<Real, float>;

/// The first number is in the low half.
struct bf16_pair {
  std::uint32_t bits;
};

#if LINATTN_AVX512_BF16
template <>
struct simd<bf16_pair> {
  static constexpr int width = simd<float>::width;
  using native = native_vector<float>::bits;
  native v;

  simd() = default;
  LINATTN_ALWAYS_INLINE explicit simd(bf16_pair value) : v(value.bits + native{}) {}

  static LINATTN_ALWAYS_INLINE simd load(bf16_pair const* from) {
    simd result;
    std::memcpy(&result.v, from, sizeof(native));
    return result;
  }
  LINATTN_ALWAYS_INLINE void store(bf16_pair* to) const { std::memcpy(to, &v, sizeof(native)); }

  // Assembly: the intrinsics' header is long, and the builtins under them have other types in each compiler.

  /// c and both products of each pair.
  friend LINATTN_ALWAYS_INLINE simd<float> multiply_add(simd a, simd b, simd<float> c) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(c.v) : "v"(a.v), "v"(b.v));
    return c;
  }

  /// 2 * width numbers, in their order, rounded to the nearest.
  static LINATTN_ALWAYS_INLINE simd of(simd<float> first, simd<float> second) {
    simd result;
    asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(result.v) : "v"(first.v), "v"(second.v));
    return result;
  }
};

/// Pairs of rows 2 n and 2 n + 1 of a matrix, to[n][column]; after an odd number of rows comes a row of zeros. Columns
/// are whole vectors.
LINATTN_NEVER_INLINE inline void pair_rows(float const* from, std::ptrdiff_t stride, int rows, int columns,
                                           bf16_pair* to, std::ptrdiff_t to_stride) {
  using vector = simd<float>;
  constexpr auto lanes = std::make_integer_sequence<int, vector::width>{};
  for (int row = 0; row < rows; row += 2, from += 2 * stride, to += to_stride) {
    for (int column = 0; column < columns; column += vector::width) {
      vector const first = vector::load(from + column);
      vector const second = row + 1 < rows ? vector::load(from + stride + column) : vector(0.0F);
      simd<bf16_pair>::of(zip_low(first, second, lanes), zip_high(first, second, lanes)).store(to + column);
    }
  }
}

/// Pairs of neighbours in each row, to[row][n]. Columns are whole vectors, and so is what is written of a row.
LINATTN_NEVER_INLINE inline void pair_columns(float const* from, std::ptrdiff_t stride, int rows, int columns,
                                              bf16_pair* to, std::ptrdiff_t to_stride) {
  using vector = simd<float>;
  for (int row = 0; row < rows; ++row, from += stride, to += to_stride) {
    for (int column = 0; column < columns; column += 2 * vector::width) {
      bool const whole = column + vector::width < columns;
      vector const second = whole ? vector::load(from + column + vector::width) : vector(0.0F);
      simd<bf16_pair>::of(vector::load(from + column), second).store(to + column / 2);
    }
  }
}
#endif

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
