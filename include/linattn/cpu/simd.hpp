// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// simd<Real>: one vector register of the instruction set that this translation unit is compiled for, on the vector
// extensions of GCC and Clang; a plain array elsewhere. Everything on top of it is in an inline namespace named after
// the instruction set, so that objects built with different -m flags can be linked.
#ifndef LINATTN_CPU_SIMD_HPP
#define LINATTN_CPU_SIMD_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

// nvcc takes no vector extensions in functions that a kernel might call, and every map's hooks are such functions.
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__CUDACC__) && !defined(LINATTN_NO_VECTOR_EXTENSIONS)
#define LINATTN_VECTOR_EXTENSIONS 1
#else
#define LINATTN_VECTOR_EXTENSIONS 0
#endif

#if !LINATTN_VECTOR_EXTENSIONS
#define LINATTN_ISA portable
#define LINATTN_VECTOR_BYTES 16
#define LINATTN_VECTOR_REGISTERS 16
#elif defined(__AVX512F__) && defined(__AVX512BF16__)
#define LINATTN_ISA avx512_bf16
#define LINATTN_VECTOR_BYTES 64
#define LINATTN_VECTOR_REGISTERS 32
#define LINATTN_AVX512_BF16 1
#elif defined(__AVX512F__)
#define LINATTN_ISA avx512
#define LINATTN_VECTOR_BYTES 64
#define LINATTN_VECTOR_REGISTERS 32
#elif defined(__AVX2__) && defined(__FMA__)
#define LINATTN_ISA avx2
#define LINATTN_VECTOR_BYTES 32
#define LINATTN_VECTOR_REGISTERS 16
#else
#define LINATTN_ISA vector128
#define LINATTN_VECTOR_BYTES 16
#define LINATTN_VECTOR_REGISTERS 16
#endif
#ifndef LINATTN_AVX512_BF16
#define LINATTN_AVX512_BF16 0
#endif

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// An array with a bound of type int, which is what sizes are here.
template <class T, int Size>
using array_of = T[static_cast<std::size_t>(Size)];

#if LINATTN_VECTOR_EXTENSIONS
template <class Real>
struct native_vector;
template <>
struct native_vector<float> {
  typedef float type __attribute__((vector_size(LINATTN_VECTOR_BYTES)));
  typedef std::uint32_t bits __attribute__((vector_size(LINATTN_VECTOR_BYTES)));
};
template <>
struct native_vector<double> {
  typedef double type __attribute__((vector_size(LINATTN_VECTOR_BYTES)));
  typedef std::uint64_t bits __attribute__((vector_size(LINATTN_VECTOR_BYTES)));
};
#else
template <class Real>
struct native_vector {
  struct type {
    array_of<Real, LINATTN_VECTOR_BYTES / static_cast<int>(sizeof(Real))> lane;
    LINATTN_HOST_DEVICE Real& operator[](int i) { return lane[i]; }
    LINATTN_HOST_DEVICE Real operator[](int i) const { return lane[i]; }
  };
};
#endif

template <class Real>
struct simd {
  static constexpr int width = LINATTN_VECTOR_BYTES / static_cast<int>(sizeof(Real));
  using native = typename native_vector<Real>::type;
  native v;

  simd() = default;
#if LINATTN_VECTOR_EXTENSIONS
  LINATTN_ALWAYS_INLINE explicit simd(Real value) : v(value - native{}) {}  // x - 0 is x, bit for bit
  static LINATTN_ALWAYS_INLINE simd from(native value) {
    simd result;
    result.v = value;
    return result;
  }
#else
  LINATTN_HOST_DEVICE explicit simd(Real value) {
    for (int i = 0; i < width; ++i) {
      v[i] = value;
    }
  }
#endif

  static LINATTN_ALWAYS_INLINE simd load(Real const* from) {
    simd result;
    std::memcpy(&result.v, from, sizeof(native));
    return result;
  }
  LINATTN_ALWAYS_INLINE void store(Real* to) const { std::memcpy(to, &v, sizeof(native)); }

#if LINATTN_VECTOR_EXTENSIONS
  friend LINATTN_ALWAYS_INLINE simd operator+(simd a, simd b) { return from(a.v + b.v); }
  friend LINATTN_ALWAYS_INLINE simd operator-(simd a, simd b) { return from(a.v - b.v); }
  friend LINATTN_ALWAYS_INLINE simd operator*(simd a, simd b) { return from(a.v * b.v); }
  /// a * b + c in one expression, so that both compilers contract it to a fused multiply-add.
  friend LINATTN_ALWAYS_INLINE simd multiply_add(simd a, simd b, simd c) { return from(a.v * b.v + c.v); }
#else
  friend LINATTN_HOST_DEVICE simd operator+(simd a, simd b) {
    for (int i = 0; i < width; ++i) {
      a.v[i] += b.v[i];
    }
    return a;
  }
  friend LINATTN_HOST_DEVICE simd operator-(simd a, simd b) {
    for (int i = 0; i < width; ++i) {
      a.v[i] -= b.v[i];
    }
    return a;
  }
  friend LINATTN_HOST_DEVICE simd operator*(simd a, simd b) {
    for (int i = 0; i < width; ++i) {
      a.v[i] *= b.v[i];
    }
    return a;
  }
  friend LINATTN_HOST_DEVICE simd multiply_add(simd a, simd b, simd c) { return a * b + c; }
#endif
};

/// 1 / sqrt(x), to an ulp or two: an integer first guess and Newton steps (both compilers scalarise a vector's sqrt).
#if LINATTN_VECTOR_EXTENSIONS
template <class Real>
LINATTN_ALWAYS_INLINE simd<Real> rsqrt(simd<Real> x) {
  using vector = simd<Real>;
  constexpr bool single = sizeof(Real) == 4;
  using bits_type = std::conditional_t<single, std::uint32_t, std::uint64_t>;
  typename native_vector<Real>::bits bits;
  std::memcpy(&bits, &x.v, sizeof(bits));
  constexpr auto magic = static_cast<bits_type>(single ? 0x5f375a86ULL : 0x5fe6eb50c7b537a9ULL);
  bits = magic - (bits >> 1);
  vector y;
  std::memcpy(&y.v, &bits, sizeof(bits));
  vector const half = x * vector(Real(0.5));
  LINATTN_UNROLL
  for (int i = 0; i < (single ? 3 : 4); ++i) {
    y = y * (vector(Real(1.5)) - half * y * y);
  }
  return y;
}
#else
template <class Real>
LINATTN_HOST_DEVICE simd<Real> rsqrt(simd<Real> x) {
  for (int i = 0; i < simd<Real>::width; ++i) {
    x.v[i] = detail::rsqrt(x.v[i]);
  }
  return x;
}
#endif

/// The lanes [first, end); zero elsewhere (also where a lane holds a NaN).
#if LINATTN_VECTOR_EXTENSIONS
template <class Real, int... Lane>
LINATTN_ALWAYS_INLINE simd<Real> keep_lanes(simd<Real> x, int first, int end, std::integer_sequence<int, Lane...>) {
  using bits_vector = typename native_vector<Real>::bits;
  constexpr bits_vector lanes = {Lane...};
  using bits = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
  // Unsigned: a lane below first becomes huge.
  auto const kept = lanes - (static_cast<bits>(first) + bits_vector{}) <
                    static_cast<bits>((std::max)(0, end - first)) + bits_vector{};
  bits_vector value;
  std::memcpy(&value, &x.v, sizeof(value));
  value &= (bits_vector)kept;
  std::memcpy(&x.v, &value, sizeof(value));
  return x;
}
template <class Real>
LINATTN_ALWAYS_INLINE simd<Real> keep_lanes(simd<Real> x, int first, int end) {
  return keep_lanes(x, first, end, std::make_integer_sequence<int, simd<Real>::width>{});
}
#else
template <class Real>
simd<Real> keep_lanes(simd<Real> x, int first, int end) {
  for (int i = 0; i < simd<Real>::width; ++i) {
    x.v[i] = first <= i && i < end ? x.v[i] : Real(0);
  }
  return x;
}
#endif

template <class Real>
LINATTN_ALWAYS_INLINE Real sum_of_lanes(simd<Real> x) {
  constexpr int width = simd<Real>::width;
  array_of<Real, width> lanes;
  x.store(lanes);
  for (int step = width / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) {
      lanes[i] += lanes[i + step];
    }
  }
  return lanes[0];
}

#if LINATTN_VECTOR_EXTENSIONS
template <class Real, int... Lane>
LINATTN_ALWAYS_INLINE simd<Real> zip_low(simd<Real> a, simd<Real> b, std::integer_sequence<int, Lane...>) {
  constexpr int width = simd<Real>::width;
  return simd<Real>::from(__builtin_shufflevector(a.v, b.v, ((Lane & 1) ? width + Lane / 2 : Lane / 2)...));
}
template <class Real, int... Lane>
LINATTN_ALWAYS_INLINE simd<Real> zip_high(simd<Real> a, simd<Real> b, std::integer_sequence<int, Lane...>) {
  constexpr int width = simd<Real>::width;
  constexpr int half = width / 2;
  return simd<Real>::from(
      __builtin_shufflevector(a.v, b.v, ((Lane & 1) ? width + half + Lane / 2 : half + Lane / 2)...));
}
#endif

/// Transposes width x width numbers in registers: log2(width) stages of perfect shuffles.
template <class Real>
LINATTN_ALWAYS_INLINE void transpose(array_of<simd<Real>, simd<Real>::width>& x) {
  constexpr int width = simd<Real>::width;
  array_of<simd<Real>, width> t;
#if LINATTN_VECTOR_EXTENSIONS
  constexpr auto lanes = std::make_integer_sequence<int, width>{};
  LINATTN_UNROLL
  for (int stage = 1; stage < width; stage *= 2) {
    LINATTN_UNROLL
    for (int i = 0; i < width / 2; ++i) {
      t[2 * i] = zip_low(x[i], x[i + width / 2], lanes);
      t[2 * i + 1] = zip_high(x[i], x[i + width / 2], lanes);
    }
    LINATTN_UNROLL
    for (int i = 0; i < width; ++i) {
      x[i] = t[i];
    }
  }
#else
  for (int i = 0; i < width; ++i) {
    for (int j = 0; j < width; ++j) {
      t[i].v[j] = x[j].v[i];
    }
  }
  for (int i = 0; i < width; ++i) {
    x[i] = t[i];
  }
#endif
}

/// The sums of the lanes of x[0], x[1], ..., one a lane: each stage adds the halves of two vectors side by side.
template <class Real>
LINATTN_ALWAYS_INLINE simd<Real> sums_of_lanes(array_of<simd<Real>, simd<Real>::width>& x) {
  constexpr int width = simd<Real>::width;
#if LINATTN_VECTOR_EXTENSIONS
  constexpr auto lanes = std::make_integer_sequence<int, width>{};
  LINATTN_UNROLL
  for (int half = width / 2; half > 0; half /= 2) {
    LINATTN_UNROLL
    for (int i = 0; i < half; ++i) {
      x[i] = zip_low(x[i], x[i + half], lanes) + zip_high(x[i], x[i + half], lanes);
    }
  }
  return x[0];
#else
  simd<Real> result;
  for (int i = 0; i < width; ++i) {
    result.v[i] = sum_of_lanes(x[i]);
  }
  return result;
#endif
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

namespace linattn::inline LINATTN_ABI::detail {
template <class Real>
struct scalar_of<simd<Real>> {
  using type = Real;
};
}  // namespace linattn::inline LINATTN_ABI::detail

#endif
