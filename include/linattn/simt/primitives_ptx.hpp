// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Device primitives for sm_80 and newer, each one instruction. Every function has a twin of the same signature in
// primitives_emulated.hpp; tests/emu checks both against the same formulas.
#ifndef LINATTN_SIMT_PRIMITIVES_PTX_HPP
#define LINATTN_SIMT_PRIMITIVES_PTX_HPP

#include <linattn/simt/types.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(LINATTN_SIMT_PTX)

namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS {

namespace detail {

// The host compiler applies strict aliasing to kernel code too.
template <int Bytes>
struct raw_word;
template <>
struct raw_word<1> {
  typedef std::uint8_t __attribute__((may_alias)) type;
};
template <>
struct raw_word<2> {
  typedef std::uint16_t __attribute__((may_alias)) type;
};
template <>
struct raw_word<4> {
  typedef std::uint32_t __attribute__((may_alias)) type;
};
template <>
struct raw_word<8> {
  typedef std::uint64_t __attribute__((may_alias)) type;
};
template <>
struct raw_word<16> {
  struct __attribute__((may_alias, aligned(16))) type {
    std::uint32_t w[4];
  };
};

template <class T>
struct words_of {
  std::uint32_t w[sizeof(T) / 4];
};

LINATTN_DEVICE std::uint16_t load_nc(std::uint16_t const* p) { return __ldg(p); }
LINATTN_DEVICE std::uint32_t load_nc(std::uint32_t const* p) { return __ldg(p); }
LINATTN_DEVICE unsigned long long load_nc(unsigned long long const* p) { return __ldg(p); }
LINATTN_DEVICE uint4 load_nc(uint4 const* p) { return __ldg(p); }

template <class T>
using nc_word = std::conditional_t<
    sizeof(T) == 2, std::uint16_t,
    std::conditional_t<sizeof(T) == 4, std::uint32_t, std::conditional_t<sizeof(T) == 8, unsigned long long, uint4>>>;

}  // namespace detail

// --- who am I
// ---------------------------------------------------------------------------------------------------------
LINATTN_DEVICE extent3 thread_idx() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
LINATTN_DEVICE extent3 block_idx() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
LINATTN_DEVICE extent3 block_dim() { return {blockDim.x, blockDim.y, blockDim.z}; }
LINATTN_DEVICE extent3 grid_dim() { return {gridDim.x, gridDim.y, gridDim.z}; }

/// This thread's lane, and its warp in the block. Blocks are one-dimensional.
LINATTN_DEVICE int lane() { return static_cast<int>(thread_idx().x % 32U); }
LINATTN_DEVICE int warp() { return static_cast<int>(thread_idx().x / 32U); }

LINATTN_DEVICE shared_address to_shared(void const* p) {
  return static_cast<shared_address>(__cvta_generic_to_shared(p));
}

// --- barriers and warps
// -----------------------------------------------------------------------------------------------
LINATTN_DEVICE void block_sync() { __syncthreads(); }
LINATTN_DEVICE void warp_sync(unsigned mask = all_lanes) { __syncwarp(mask); }
LINATTN_DEVICE void named_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

template <class T>
LINATTN_DEVICE T shuffle(T value, int lane, unsigned mask = all_lanes) {
  static_assert(detail::is_register<T>,
                "linattn::simt::shuffle: got a value that no register holds; 4 or 8 bytes; "
                "shuffle its parts");
  return __builtin_bit_cast(T, __shfl_sync(mask, __builtin_bit_cast(detail::register_bits<T>, value), lane));
}
template <class T>
LINATTN_DEVICE T shuffle_xor(T value, int lanes, unsigned mask = all_lanes) {
  static_assert(detail::is_register<T>,
                "linattn::simt::shuffle_xor: got a value that no register holds; 4 or 8 bytes; "
                "shuffle its parts");
  return __builtin_bit_cast(T, __shfl_xor_sync(mask, __builtin_bit_cast(detail::register_bits<T>, value), lanes));
}
template <class T>
LINATTN_DEVICE T shuffle_up(T value, int lanes, unsigned mask = all_lanes) {
  static_assert(detail::is_register<T>,
                "linattn::simt::shuffle_up: got a value that no register holds; 4 or 8 bytes; "
                "shuffle its parts");
  auto const bits = __builtin_bit_cast(detail::register_bits<T>, value);
  return __builtin_bit_cast(T, __shfl_up_sync(mask, bits, static_cast<unsigned>(lanes)));
}
template <class T>
LINATTN_DEVICE T shuffle_down(T value, int lanes, unsigned mask = all_lanes) {
  static_assert(detail::is_register<T>,
                "linattn::simt::shuffle_down: got a value that no register holds; 4 or 8 bytes; "
                "shuffle its parts");
  auto const bits = __builtin_bit_cast(detail::register_bits<T>, value);
  return __builtin_bit_cast(T, __shfl_down_sync(mask, bits, static_cast<unsigned>(lanes)));
}
LINATTN_DEVICE unsigned ballot(bool vote, unsigned mask = all_lanes) { return __ballot_sync(mask, vote ? 1 : 0); }

// --- matrices
// ---------------------------------------------------------------------------------------------------------
template <std::size_t N>
LINATTN_DEVICE void ldmatrix(std::uint32_t (&r)[N], shared_address row) {
  static_assert(N == 1 || N == 2 || N == 4, "linattn::simt::ldmatrix: got another N; 1, 2, 4; split the load");
  if constexpr (N == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row) : "memory");
  } else if constexpr (N == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(row)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
  }
}
template <std::size_t N>
LINATTN_DEVICE void ldmatrix_trans(std::uint32_t (&r)[N], shared_address row) {
  static_assert(N == 1 || N == 2 || N == 4, "linattn::simt::ldmatrix_trans: got another N; 1, 2, 4; split the load");
  if constexpr (N == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row) : "memory");
  } else if constexpr (N == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(row)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
  }
}

/// An 8x8 matrix of 16-bit elements, as ldmatrix leaves it in the registers of a warp, transposed.
LINATTN_DEVICE std::uint32_t movmatrix_trans(std::uint32_t r) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(r));
  return transposed;
}

LINATTN_DEVICE void mma_m16n8k16_bf16(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
LINATTN_DEVICE void mma_m16n8k16_f16(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
LINATTN_DEVICE void mma_m16n8k8_tf32(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
LINATTN_DEVICE void mma_m8n8k4_f64(double (&c)[2], double a, double b) {
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(c[0]), "+d"(c[1])
               : "d"(a), "d"(b));
}

// --- memory
// -----------------------------------------------------------------------------------------------------------
/// Copies src_bytes bytes and fills the rest of Bytes with zero; with 0 nothing is read. Both addresses are multiples
/// of Bytes. The bytes are there after a wait, for this thread; after a barrier, for others.
template <int Bytes>
LINATTN_DEVICE void copy_async(shared_address dst, void const* global_src, int src_bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16,
                "linattn::simt::copy_async: got another size; 4, 8, 16; split the copy");
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(__cvta_generic_to_global(global_src)),
                 "r"(src_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(dst), "l"(__cvta_generic_to_global(global_src)),
                 "n"(Bytes), "r"(src_bytes)
                 : "memory");
  }
}
LINATTN_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most N of this thread's committed groups are under way.
template <int N>
LINATTN_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/// One access of sizeof(T) bytes, whatever the type of the object there; the address is a multiple of sizeof(T).
template <class T>
LINATTN_DEVICE T load(T const* p) {
  static_assert(detail::is_word<T>,
                "linattn::simt::load: got a type without a load instruction; trivially copyable, "
                "1, 2, 4, 8 or 16 bytes; load its parts");
  using raw = typename detail::raw_word<sizeof(T)>::type;
  return __builtin_bit_cast(T, *reinterpret_cast<raw const*>(p));
}
template <class T>
LINATTN_DEVICE void store(T* p, T value) {
  static_assert(detail::is_word<T>,
                "linattn::simt::store: got a type without a store instruction; trivially copyable, "
                "1, 2, 4, 8 or 16 bytes; store its parts");
  using raw = typename detail::raw_word<sizeof(T)>::type;
  *reinterpret_cast<raw*>(p) = __builtin_bit_cast(raw, value);
}
/// A load of global memory that nothing writes during the launch.
template <class T>
LINATTN_DEVICE T load_readonly(T const* p) {
  static_assert(detail::is_word<T> && sizeof(T) >= 2,
                "linattn::simt::load_readonly: got a type without such a load; "
                "trivially copyable, 2, 4, 8 or 16 bytes; use load");
  return __builtin_bit_cast(T, detail::load_nc(reinterpret_cast<detail::nc_word<T> const*>(p)));
}

// --- numbers
// ----------------------------------------------------------------------------------------------------------
LINATTN_DEVICE std::uint32_t pack_bf16x2(float lo, float hi) {
  std::uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
LINATTN_DEVICE std::uint32_t pack_f16x2(float lo, float hi) {
  std::uint32_t r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
LINATTN_DEVICE std::uint32_t multiply_bf16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t r;  // sm_80 has no mul.bf16x2, so -0 is added
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(0x80008000U));
  return r;
}
LINATTN_DEVICE std::uint32_t multiply_f16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t r;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}
LINATTN_DEVICE float low_bf16(std::uint32_t pair) { return float_from_bits(pair << 16U); }
LINATTN_DEVICE float high_bf16(std::uint32_t pair) { return float_from_bits(pair & 0xffff0000U); }
LINATTN_DEVICE float low_f16(std::uint32_t pair) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(static_cast<std::uint16_t>(pair)));
  return r;
}
LINATTN_DEVICE float high_f16(std::uint32_t pair) { return low_f16(pair >> 16U); }
/// To nearest, ties away from zero.
LINATTN_DEVICE std::uint32_t to_tf32(float value) {
  std::uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(value));
  return r;
}
/// Within 2 ulp for divisors of magnitude 2^-126 to 2^126.
LINATTN_DEVICE float fast_divide(float a, float b) { return __fdividef(a, b); }

// --- registers
// --------------------------------------------------------------------------------------------------------
/// `x`, of which the compiler does not know that it stays the same when `at` changes: what a loop computes from it is
/// computed anew in each round, instead of once before the loop and then kept in registers. No instruction. Types
/// whose size is no multiple of 4, such as empty ones, come as they are.
template <class T>
LINATTN_DEVICE T anew(T const& x, void const* at) {
  static_assert(std::is_trivially_copyable_v<T>,
                "linattn::simt::anew: got a type that is no bytes; trivially copyable; pass its parts");
  if constexpr (sizeof(T) % 4 == 0) {
    auto bits = __builtin_bit_cast(detail::words_of<T>, x);
    LINATTN_SIMT_UNROLL
    for (std::uint32_t& word : bits.w) {
      asm("" : "+r"(word) : "l"(at));
    }
    return __builtin_bit_cast(T, bits);
  } else {
    return x;
  }
}

}  // namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS

#endif
#endif
