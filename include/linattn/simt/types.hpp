// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The types that device primitives take and return, and the bits of a float.
#ifndef LINATTN_SIMT_TYPES_HPP
#define LINATTN_SIMT_TYPES_HPP

#include <linattn/core/element.hpp>
#include <linattn/simt/config.hpp>

#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS {

/// Extents of a grid or a block, or an index in one.
struct extent3 {
  unsigned x = 1, y = 1, z = 1;
};

/// A byte address in the block's shared memory.
using shared_address = std::uint32_t;

inline constexpr int warp_size = 32;
inline constexpr unsigned all_lanes = 0xffffffffU;

/// What one thread moves in one access at most. Its address must be a multiple of 16.
struct alignas(16) vector16 {
  std::uint32_t w[4];
};

LINATTN_HOST_DEVICE constexpr std::uint32_t bits_of(float value) noexcept {
  return linattn::detail::bits_of_float(value);
}
LINATTN_HOST_DEVICE constexpr float float_from_bits(std::uint32_t bits) noexcept {
  return linattn::detail::float_of_bits(bits);
}

namespace detail {

/// Has one load or store instruction.
template <class T>
inline constexpr bool is_word = std::is_trivially_copyable_v<T> && sizeof(T) <= 16 &&
                                (sizeof(T) & (sizeof(T) - 1)) == 0;

/// Can be handed from lane to lane.
template <class T>
inline constexpr bool is_register = std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8);

template <class T>
using register_bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

}  // namespace detail

}  // namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS

#endif
