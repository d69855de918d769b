// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The formats in which matrix units multiply. Each operand policy offers one product, 16 x 8 x 16, whose fragments hold
// pairs of neighbours, so that a kernel is written once for all of them. Lane 4 g + t holds
//   a[0..3]  rows g, g + 8, g, g + 8; columns 2 t, + 1 (a[2], a[3]: 8 + 2 t, + 1)
//   b0, b1   column g; rows 2 t, + 1 (b1: 8 + 2 t, + 1)
//   c[0..3]  row g (c[2], c[3]: g + 8), columns 2 t, + 1
#ifndef LINATTN_CUDA_TILE_OPERAND_HPP
#define LINATTN_CUDA_TILE_OPERAND_HPP

#include <linattn/core/element.hpp>
#include <linattn/simt/simt.hpp>
#include <linattn/tuning/cuda.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Any element as a real number, on the device's own conversions.
template <class Real, class T>
LINATTN_DEVICE Real to_real(T x) {
  if constexpr (std::same_as<T, f16>) {
    return static_cast<Real>(simt::low_f16(x.bits));
  } else if constexpr (std::same_as<T, bf16>) {
    return static_cast<Real>(simt::low_bf16(x.bits));
  } else {
    return static_cast<Real>(x);
  }
}

/// A real number as an element, to nearest even.
template <class T, class Real>
LINATTN_DEVICE T to_element(Real x) {
  if constexpr (std::same_as<T, f16>) {
    T result;
    result.bits = static_cast<std::uint16_t>(simt::pack_f16x2(static_cast<float>(x), 0.0F));
    return result;
  } else if constexpr (std::same_as<T, bf16>) {
    T result;
    result.bits = static_cast<std::uint16_t>(simt::pack_bf16x2(static_cast<float>(x), 0.0F));
    return result;
  } else {
    return static_cast<T>(x);
  }
}

namespace operand_base {

/// Two 16-bit numbers in a register.
struct half {
  using real = float;
  using word = std::uint32_t;

  /// The high half of `a`, then the low half of `b`: what begins one place further.
  static LINATTN_DEVICE word straddle(word a, word b) { return (a >> 16U) | (b << 16U); }
  static LINATTN_DEVICE word shuffle(word w, int lane) { return simt::shuffle(w, lane); }
  /// An 8 x 8 matrix, rows g, columns 2 t, + 1.
  static LINATTN_DEVICE word transpose(word w) { return simt::movmatrix_trans(w); }
};

}  // namespace operand_base

struct bf16_operand : operand_base::half {
  using element = bf16;
  static constexpr double unit_roundoff = 0x1p-8;
  static constexpr bool narrow_range = false;

  static LINATTN_DEVICE word pack(float low, float high) { return simt::pack_bf16x2(low, high); }
  static LINATTN_DEVICE float low(word w) { return simt::low_bf16(w); }
  static LINATTN_DEVICE float high(word w) { return simt::high_bf16(w); }
  static LINATTN_DEVICE word multiply(word a, word b) { return simt::multiply_bf16x2(a, b); }
  static LINATTN_DEVICE void mma(float (&c)[4], word const (&a)[4], word b0, word b1) {
    simt::mma_m16n8k16_bf16(c, a, b0, b1);
  }
};

/// For bounded features: sums in this format are scaled (see state_scale).
struct f16_operand : operand_base::half {
  using element = f16;
  static constexpr double unit_roundoff = 0x1p-11;
  static constexpr bool narrow_range = true;

  static LINATTN_DEVICE word pack(float low, float high) { return simt::pack_f16x2(low, high); }
  static LINATTN_DEVICE float low(word w) { return simt::low_f16(w); }
  static LINATTN_DEVICE float high(word w) { return simt::high_f16(w); }
  static LINATTN_DEVICE word multiply(word a, word b) { return simt::multiply_f16x2(a, b); }
  static LINATTN_DEVICE void mma(float (&c)[4], word const (&a)[4], word b0, word b1) {
    simt::mma_m16n8k16_f16(c, a, b0, b1);
  }
};

/// A pair of real numbers: the word of the formats that are not 16 bits wide.
template <class Real>
struct alignas(2 * sizeof(Real)) real_pair {
  Real low, high;
};

namespace operand_base {

template <class Real>
struct wide {
  using element = Real;
  using real = Real;
  using word = real_pair<Real>;
  static constexpr bool narrow_range = false;

  static LINATTN_DEVICE word pack(Real low, Real high) { return {low, high}; }
  static LINATTN_DEVICE Real low(word w) { return w.low; }
  static LINATTN_DEVICE Real high(word w) { return w.high; }
  static LINATTN_DEVICE word multiply(word a, word b) { return {a.low * b.low, a.high * b.high}; }
  static LINATTN_DEVICE word straddle(word a, word b) { return {a.high, b.low}; }
  static LINATTN_DEVICE word shuffle(word w, int lane) {
    return {simt::shuffle(w.low, lane), simt::shuffle(w.high, lane)};
  }
};

}  // namespace operand_base

/// float through m16n8k8: its index k runs over the low numbers of the pairs, then over the high ones, on both sides.
struct tf32_operand : operand_base::wide<float> {
  static constexpr double unit_roundoff = 0x1p-11;

  static LINATTN_DEVICE void mma(float (&c)[4], word const (&a)[4], word b0, word b1) {
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      word const& b = half == 0 ? b0 : b1;
      word const& row = a[2 * half];
      word const& next = a[2 * half + 1];
      std::uint32_t const rows[4] = {simt::to_tf32(row.low), simt::to_tf32(next.low), simt::to_tf32(row.high),
                                     simt::to_tf32(next.high)};
      simt::mma_m16n8k8_tf32(c, rows, simt::to_tf32(b.low), simt::to_tf32(b.high));
    }
  }
};

/// Each operand as the sum of two tf32 numbers; the product of the two fine parts is left out.
struct tf32x3_operand : operand_base::wide<float> {
  static constexpr double unit_roundoff = 0x1p-21;

  static LINATTN_DEVICE void mma(float (&c)[4], word const (&a)[4], word b0, word b1) {
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      word const& b = half == 0 ? b0 : b1;
      float const rows[4] = {a[2 * half].low, a[2 * half + 1].low, a[2 * half].high, a[2 * half + 1].high};
      std::uint32_t coarse[4];
      std::uint32_t fine[4];
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 4; ++i) {
        split(rows[i], coarse[i], fine[i]);
      }
      std::uint32_t coarse_b[2];
      std::uint32_t fine_b[2];
      split(b.low, coarse_b[0], fine_b[0]);
      split(b.high, coarse_b[1], fine_b[1]);
      simt::mma_m16n8k8_tf32(c, fine, coarse_b[0], coarse_b[1]);
      simt::mma_m16n8k8_tf32(c, coarse, fine_b[0], fine_b[1]);
      simt::mma_m16n8k8_tf32(c, coarse, coarse_b[0], coarse_b[1]);
    }
  }

 private:
  static LINATTN_DEVICE void split(float x, std::uint32_t& coarse, std::uint32_t& fine) {
    coarse = simt::to_tf32(x);
    fine = simt::to_tf32(x - simt::float_from_bits(coarse));
  }
};

/// double through m8n8k4, the rows eight at a time; k runs as for tf32.
struct f64_operand : operand_base::wide<double> {
  static constexpr double unit_roundoff = 0x1p-53;

  static LINATTN_DEVICE void mma(double (&c)[4], word const (&a)[4], word b0, word b1) {
    LINATTN_SIMT_UNROLL
    for (int rows = 0; rows < 2; ++rows) {
      double part[2] = {c[2 * rows], c[2 * rows + 1]};
      simt::mma_m8n8k4_f64(part, a[rows].low, b0.low);
      simt::mma_m8n8k4_f64(part, a[rows].high, b0.high);
      simt::mma_m8n8k4_f64(part, a[2 + rows].low, b1.low);
      simt::mma_m8n8k4_f64(part, a[2 + rows].high, b1.high);
      c[2 * rows] = part[0];
      c[2 * rows + 1] = part[1];
    }
  }
};

/// A map that says that its prepared rows are bounded, as a LayerNorm's are.
template <class Map>
concept BoundedMap = requires {
  requires Map::bounded;
};

template <class Selector, class Map, Element T>
struct operand_choice {
  using floats = std::conditional_t<Selector::products == float_products::tf32x3, tf32x3_operand, tf32_operand>;
  using halves = std::conditional_t<BoundedMap<Map> && Selector::half_features, f16_operand, bf16_operand>;
  using type = std::conditional_t<std::same_as<T, double>, f64_operand,
                                  std::conditional_t<std::same_as<T, float>, floats, halves>>;
};

/// The format in which an attention's products are computed.
template <class Selector, class Map, Element T>
using operand_of = typename operand_choice<Selector, Map, T>::type;

/// The format of a backward's products: no map bounds gradients, and f16 would lose small ones.
template <class Selector, Element T>
using gradient_operand_of = typename operand_choice<Selector, void, T>::type;

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
