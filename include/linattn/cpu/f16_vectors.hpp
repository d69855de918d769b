// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Vectors of f16 by the conversion instructions of x86 (F16C, AVX-512), one where g++ makes dozens of core/element.hpp's.
// To nearest, ties to even, whatever the rounding mode or the handling of denormals is; the same numbers as f16's own
// conversions.
#ifndef LINATTN_CPU_F16_VECTORS_HPP
#define LINATTN_CPU_F16_VECTORS_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/element.hpp>
#include <linattn/cpu/simd.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

#if LINATTN_VECTOR_EXTENSIONS && LINATTN_VECTOR_BYTES >= 32 && (defined(__F16C__) || defined(__AVX512F__))
#define LINATTN_F16_VECTORS 1
#else
#define LINATTN_F16_VECTORS 0
#endif

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Whether vectors of Element, of as many as simd<Real> holds, are converted here.
template <class Real, class Element>
inline constexpr bool has_f16_vectors =
    LINATTN_F16_VECTORS != 0 && std::is_same_v<Real, float> && std::is_same_v<Element, f16>;

#if LINATTN_F16_VECTORS
typedef std::uint16_t f16_bits __attribute__((vector_size(LINATTN_VECTOR_BYTES / 2)));

// Assembly: the intrinsics' header is long.

LINATTN_ALWAYS_INLINE simd<float> load_f16(f16 const* from) {
  f16_bits bits;
  std::memcpy(&bits, from, sizeof(bits));
  simd<float> result;
  asm("vcvtph2ps %1, %0" : "=v"(result.v) : "v"(bits));
  return result;
}

LINATTN_ALWAYS_INLINE void store_f16(simd<float> value, f16* to) {
  f16_bits bits;
  asm("vcvtps2ph $0, %1, %0" : "=v"(bits) : "v"(value.v));
  std::memcpy(to, &bits, sizeof(bits));
}
#endif

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
