// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The same primitives where there is no nvcc: each calls the host executor. Documented in primitives_ptx.hpp.
// Always inlined, so that the executor's reports can name the kernel's own line.
#ifndef LINATTN_SIMT_PRIMITIVES_EMULATED_HPP
#define LINATTN_SIMT_PRIMITIVES_EMULATED_HPP

#include <linattn/simt/emulation.hpp>
#include <linattn/simt/types.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(LINATTN_SIMT_EMULATED)

namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS {

// --- who am I
// ---------------------------------------------------------------------------------------------------------
LINATTN_ALWAYS_INLINE extent3 thread_idx() { return emu::thread_idx(); }
LINATTN_ALWAYS_INLINE extent3 block_idx() { return emu::block_idx(); }
LINATTN_ALWAYS_INLINE extent3 block_dim() { return emu::block_dim(); }
LINATTN_ALWAYS_INLINE extent3 grid_dim() { return emu::grid_dim(); }
/// This thread's lane, and its warp in the block. Blocks are one-dimensional.
LINATTN_ALWAYS_INLINE int lane() { return static_cast<int>(thread_idx().x % 32U); }
LINATTN_ALWAYS_INLINE int warp() { return static_cast<int>(thread_idx().x / 32U); }

LINATTN_ALWAYS_INLINE shared_address to_shared(void const* p) { return emu::to_shared(p); }

// --- barriers and warps
// -----------------------------------------------------------------------------------------------
LINATTN_ALWAYS_INLINE void block_sync() { emu::block_sync(); }
LINATTN_ALWAYS_INLINE void warp_sync(unsigned mask = all_lanes) { emu::warp_sync(mask); }
LINATTN_ALWAYS_INLINE void named_sync(int id, int threads) { emu::named_sync(id, threads); }

namespace detail {
template <class T>
LINATTN_ALWAYS_INLINE T shuffle_bits(T value, emu::shuffle_kind kind, int argument, unsigned mask) {
  static_assert(is_register<T>,
                "linattn::simt::shuffle: got a value that no register holds; 4 or 8 bytes; "
                "shuffle its parts");
  using bits = register_bits<T>;
  return __builtin_bit_cast(T, static_cast<bits>(emu::shuffle(__builtin_bit_cast(bits, value), kind, argument, mask)));
}
}  // namespace detail

template <class T>
LINATTN_ALWAYS_INLINE T shuffle(T value, int lane, unsigned mask = all_lanes) {
  return detail::shuffle_bits(value, emu::shuffle_kind::index, lane, mask);
}
template <class T>
LINATTN_ALWAYS_INLINE T shuffle_xor(T value, int lanes, unsigned mask = all_lanes) {
  return detail::shuffle_bits(value, emu::shuffle_kind::exclusive_or, lanes, mask);
}
template <class T>
LINATTN_ALWAYS_INLINE T shuffle_up(T value, int lanes, unsigned mask = all_lanes) {
  return detail::shuffle_bits(value, emu::shuffle_kind::up, lanes, mask);
}
template <class T>
LINATTN_ALWAYS_INLINE T shuffle_down(T value, int lanes, unsigned mask = all_lanes) {
  return detail::shuffle_bits(value, emu::shuffle_kind::down, lanes, mask);
}
LINATTN_ALWAYS_INLINE unsigned ballot(bool vote, unsigned mask = all_lanes) { return emu::ballot(vote, mask); }

// --- matrices
// ---------------------------------------------------------------------------------------------------------
template <std::size_t N>
LINATTN_ALWAYS_INLINE void ldmatrix(std::uint32_t (&r)[N], shared_address row) {
  static_assert(N == 1 || N == 2 || N == 4, "linattn::simt::ldmatrix: got another N; 1, 2, 4; split the load");
  emu::ldmatrix(r, static_cast<int>(N), false, row);
}
template <std::size_t N>
LINATTN_ALWAYS_INLINE void ldmatrix_trans(std::uint32_t (&r)[N], shared_address row) {
  static_assert(N == 1 || N == 2 || N == 4, "linattn::simt::ldmatrix_trans: got another N; 1, 2, 4; split the load");
  emu::ldmatrix(r, static_cast<int>(N), true, row);
}
LINATTN_ALWAYS_INLINE std::uint32_t movmatrix_trans(std::uint32_t r) { return emu::movmatrix_trans(r); }
LINATTN_ALWAYS_INLINE void mma_m16n8k16_bf16(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
  emu::mma(emu::mma_kind::m16n8k16_bf16, c, a, b0, b1);
}
LINATTN_ALWAYS_INLINE void mma_m16n8k16_f16(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0,
                                            std::uint32_t b1) {
  emu::mma(emu::mma_kind::m16n8k16_f16, c, a, b0, b1);
}
LINATTN_ALWAYS_INLINE void mma_m16n8k8_tf32(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0,
                                            std::uint32_t b1) {
  emu::mma(emu::mma_kind::m16n8k8_tf32, c, a, b0, b1);
}
LINATTN_ALWAYS_INLINE void mma_m8n8k4_f64(double (&c)[2], double a, double b) { emu::mma_m8n8k4_f64(c, a, b); }

// --- memory
// -----------------------------------------------------------------------------------------------------------
template <int Bytes>
LINATTN_ALWAYS_INLINE void copy_async(shared_address dst, void const* global_src, int src_bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16,
                "linattn::simt::copy_async: got another size; 4, 8, 16; split the copy");
  emu::copy_async(dst, global_src, Bytes, src_bytes);
}
LINATTN_ALWAYS_INLINE void copy_async_commit() { emu::copy_async_commit(); }
template <int N>
LINATTN_ALWAYS_INLINE void copy_async_wait() {
  emu::copy_async_wait(N);
}

// Through the executor even where a plain access would be seen: g++ splits the copy of a 16-byte struct into four, and
// the alignment that the instruction needs would go unchecked.
namespace detail {
template <class T>
struct raw_bytes {
  alignas(T) unsigned char bytes[sizeof(T)];
};
}  // namespace detail

template <class T>
LINATTN_ALWAYS_INLINE T load(T const* p) {
  static_assert(detail::is_word<T>,
                "linattn::simt::load: got a type without a load instruction; trivially copyable, "
                "1, 2, 4, 8 or 16 bytes; load its parts");
  detail::raw_bytes<T> raw;
  emu::load(p, &raw, sizeof(T));
  return __builtin_bit_cast(T, raw);
}
template <class T>
LINATTN_ALWAYS_INLINE void store(T* p, T value) {
  static_assert(detail::is_word<T>,
                "linattn::simt::store: got a type without a store instruction; trivially copyable, "
                "1, 2, 4, 8 or 16 bytes; store its parts");
  emu::store(p, &value, sizeof(T));
}
template <class T>
LINATTN_ALWAYS_INLINE T load_readonly(T const* p) {
  static_assert(detail::is_word<T> && sizeof(T) >= 2,
                "linattn::simt::load_readonly: got a type without such a load; "
                "trivially copyable, 2, 4, 8 or 16 bytes; use load");
  detail::raw_bytes<T> raw;
  emu::load_readonly(p, &raw, sizeof(T));
  return __builtin_bit_cast(T, raw);
}

// --- numbers
// ----------------------------------------------------------------------------------------------------------
LINATTN_ALWAYS_INLINE float low_bf16(std::uint32_t pair) { return float_from_bits(pair << 16U); }
LINATTN_ALWAYS_INLINE float high_bf16(std::uint32_t pair) { return float_from_bits(pair & 0xffff0000U); }
LINATTN_ALWAYS_INLINE float low_f16(std::uint32_t pair) {
  return linattn::detail::f16_to_float(static_cast<std::uint16_t>(pair & 0xffffU));
}
LINATTN_ALWAYS_INLINE float high_f16(std::uint32_t pair) { return low_f16(pair >> 16U); }
LINATTN_ALWAYS_INLINE std::uint32_t pack_bf16x2(float lo, float hi) {
  return bf16(lo).bits | static_cast<std::uint32_t>(bf16(hi).bits) << 16U;
}
LINATTN_ALWAYS_INLINE std::uint32_t pack_f16x2(float lo, float hi) {
  return f16(lo).bits | static_cast<std::uint32_t>(f16(hi).bits) << 16U;
}
LINATTN_ALWAYS_INLINE std::uint32_t multiply_bf16x2(std::uint32_t a, std::uint32_t b) {
  return pack_bf16x2(low_bf16(a) * low_bf16(b), high_bf16(a) * high_bf16(b));
}
LINATTN_ALWAYS_INLINE std::uint32_t multiply_f16x2(std::uint32_t a, std::uint32_t b) {
  return pack_f16x2(low_f16(a) * low_f16(b), high_f16(a) * high_f16(b));
}
LINATTN_ALWAYS_INLINE std::uint32_t to_tf32(float value) {
  std::uint32_t const bits = bits_of(value);
  bool const finite = (bits & 0x7f800000U) != 0x7f800000U;
  return finite ? (bits + 0x1000U) & ~0x1fffU : bits;
}
LINATTN_ALWAYS_INLINE float fast_divide(float a, float b) { return a / b; }

// --- registers
// --------------------------------------------------------------------------------------------------------
template <class T>
LINATTN_ALWAYS_INLINE T const& anew(T const& x, void const* /*at*/) {
  static_assert(std::is_trivially_copyable_v<T>,
                "linattn::simt::anew: got a type that is no bytes; trivially copyable; pass its parts");
  return x;
}

}  // namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS

#endif
#endif
