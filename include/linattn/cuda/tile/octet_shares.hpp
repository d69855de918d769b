// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// octet_shares: how the warps of a block share the octets of a map whose state they hold in registers.
#ifndef LINATTN_CUDA_TILE_OCTET_SHARES_HPP
#define LINATTN_CUDA_TILE_OCTET_SHARES_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Rows of three or four blocks, padded to four, and no pairs: so few octets that one group takes all of them. The
/// members are those of octet_groups.
template <PolynomialMap Map>
struct linear_shares {
  static_assert(!(Map::c2 > 0) && octet_list<Map>::blocks <= 4,
                "linattn::linear_shares: pairs, or head_dim above 32; no pairs and up to 32; use octet_groups");
  static constexpr int groups = 1;
  static constexpr bool shared = false;
  static constexpr int blocks = 4;
  static constexpr int pair_octets = 0;
  static constexpr int linear_octets = Map::c1 > 0 ? blocks : 0;
  static constexpr int octets = linear_octets + (Map::c0 > 0 ? 1 : 0);

  LINATTN_HOST_DEVICE static constexpr octet at(int n) {
    if (n >= octets || n < 0) {
      return {};
    }
    return n < linear_octets ? octet{octet_kind::linear, n, n, 0} : octet{octet_kind::constant, 0, 0, 0};
  }
  LINATTN_HOST_DEVICE static constexpr octet of(int /*group*/, int n) { return at(n); }
  LINATTN_HOST_DEVICE static constexpr int block(int /*group*/, int b) { return b; }

  // Of pairs.
  LINATTN_HOST_DEVICE static constexpr int largest_shift(int /*b*/) { return 0; }
  LINATTN_HOST_DEVICE static constexpr int number(int /*a*/, int /*b*/, int /*shift*/) { return -1; }
  LINATTN_HOST_DEVICE static constexpr int third_turn(int /*group*/) { return 0; }
};

template <PolynomialMap Map>
using octet_shares = std::conditional_t<(Map::c2 > 0) || (Map::head_dim <= 16), octet_groups<Map>, linear_shares<Map>>;

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
