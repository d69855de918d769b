// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotation octets: the features of c0 + c1 s + c2 s^2 as matrix units like them; state_order.hpp describes the order. A
// row is cut into blocks of 8; an octet is the 8 products x[8 a + g] x[8 b + (g + shift) % 8]. Weights are on the key's
// side.
#ifndef LINATTN_FEATURE_ROTATION_OCTETS_HPP
#define LINATTN_FEATURE_ROTATION_OCTETS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail {

enum class octet_kind : std::uint8_t { pairs, linear, constant, none };

struct octet {
  octet_kind kind = octet_kind::none;
  int a = 0;
  int b = 0;
  int shift = 0;
  /// A block with itself lists the pairs of shift 4 twice, and squares once: they weigh half of the others.
  [[nodiscard]] LINATTN_HOST_DEVICE constexpr bool once() const { return a != b || (shift > 0 && shift < 4); }
};

/// Where a feature lies among the map's packed ones, and what it is there: octet feature = factor * packed feature.
/// `second`: the same packed feature lies at another place too, which stores it.
struct packed_place {
  int index = -1;
  double factor = 0;
  bool second = false;
};

template <PolynomialMap Map>
struct octet_list {
  static constexpr int dim = Map::head_dim;
  static constexpr int blocks = (dim + 7) / 8;
  static constexpr int pair_octets = Map::c2 > 0 ? blocks*(4 * blocks + 1) : 0;
  static constexpr int linear_octets = Map::c1 > 0 ? blocks : 0;
  static constexpr int octets = pair_octets + linear_octets + (Map::c0 > 0 ? 1 : 0);

  /// The first octet of block a: five come for each earlier block, and eight for each pair of one with a later one.
  LINATTN_HOST_DEVICE static constexpr int first_of(int a) { return 5 * a + 8 * (a * blocks - a * (a + 1) / 2); }

  /// The n-th octet: for each block a, five of a with itself, then for each b > a four from a and four from b.
  LINATTN_HOST_DEVICE static constexpr octet at(int n) {
    if (n >= octets || n < 0) {
      return {};
    }
    if (n >= pair_octets) {
      n -= pair_octets;
      return n < linear_octets ? octet{octet_kind::linear, n, n, 0} : octet{octet_kind::constant, 0, 0, 0};
    }
    int a = 0;
    for (int own = 5 + 8 * (blocks - 1); n >= own; own -= 8) {
      n -= own;
      ++a;
    }
    if (n < 5) {
      return {octet_kind::pairs, a, a, n};
    }
    int const b = a + 1 + (n - 5) / 8;
    int const e = (n - 5) % 8;
    return e < 4 ? octet{octet_kind::pairs, a, b, e} : octet{octet_kind::pairs, b, a, e - 3};
  }

  /// What the key's side multiplies the products by.
  LINATTN_HOST_DEVICE static constexpr double weight(octet o) {
    switch (o.kind) {
      case octet_kind::pairs:
        return o.once() ? 2 * Map::c2 : Map::c2;
      case octet_kind::linear:
        return Map::c1;
      case octet_kind::constant:
        return Map::c0;
      default:
        return 0;
    }
  }

  LINATTN_HOST_DEVICE static constexpr packed_place place(octet o, int g) {
    using packed = typename Map::packed;
    constexpr double root0 = packed::root0, root1 = packed::root1, square = packed::square;
    constexpr double product = packed::product, half_product = 0.5 * packed::product;  // c2 / sqrt(2 c2)
    if (o.kind == octet_kind::constant) {
      return g == 0 ? packed_place{0, root0, false} : packed_place{};
    }
    int const i = 8 * o.a + g;
    if (o.kind == octet_kind::linear) {
      return i < dim ? packed_place{packed::linear_begin + i, root1, false} : packed_place{};
    }
    int const j = 8 * o.b + (g + o.shift) % 8;
    if (o.kind == octet_kind::none || i >= dim || j >= dim) {
      return {};
    }
    int const low = i < j ? i : j;
    int const high = i < j ? j : i;
    int const index = packed::pairs_begin + low * dim - low * (low - 1) / 2 + high - low;
    bool const twice = o.a == o.b && o.shift == 4;
    return {index, i == j ? square : (twice ? half_product : product), twice && g >= 4};
  }
};

/// How the warps of a block share the octets. Rows of one or two blocks are one group's, which has all octets. Rows of
/// three or four, padded to four, are shared by four groups: group a has blocks a, a + 1 and a + 2 (modulo 4), in its
/// own numbers 0, 1 and 2; of them it takes the octets of 0 with itself, all of 0 and 1, and half of those of 0 and 2.
/// The other half is group a + 2's. So every octet is taken once, and all groups run the same code.
template <PolynomialMap Map>
struct octet_groups {
  using list = octet_list<Map>;
  static_assert(list::blocks <= 4, "linattn::octet_groups: head_dim above 32; up to 32; use the form in phases");
  static constexpr int groups = list::blocks <= 2 ? 1 : 4;
  static constexpr bool shared = groups > 1;
  static constexpr int blocks = shared ? 3 : list::blocks;  // whose octets a group takes
  static constexpr int pair_octets = shared && Map::c2 > 0 ? 17 : list::pair_octets;
  static constexpr int linear_octets = shared && Map::c1 > 0 ? 1 : list::linear_octets;
  static constexpr int octets = pair_octets + linear_octets + (Map::c0 > 0 ? 1 : 0);

  /// The largest shift of an octet whose second block is b, in the group's numbers.
  LINATTN_HOST_DEVICE static constexpr int largest_shift(int b) { return shared && b > 0 ? 3 : 4; }

  /// The n-th octet in the group's numbers. In those of 0 and 2, block 2 comes turned by third_turn(group) places.
  LINATTN_HOST_DEVICE static constexpr octet at(int n) {
    if constexpr (!shared) {
      return list::at(n);
    }
    if (n >= octets || n < 0) {
      return {};
    }
    if (n >= pair_octets) {
      return {n < pair_octets + linear_octets ? octet_kind::linear : octet_kind::constant, 0, 0, 0};
    }
    int const e = n - 5;
    return n < 5   ? octet{octet_kind::pairs, 0, 0, n}
           : e < 4 ? octet{octet_kind::pairs, 0, 1, e}
           : e < 8 ? octet{octet_kind::pairs, 1, 0, e - 3}
                   : octet{octet_kind::pairs, 0, 2, e - 8};
  }

  /// at() the other way round: the number of the octet of blocks a and b, or -1. Not a search: a compiler might leave
  /// that for run time.
  LINATTN_HOST_DEVICE static constexpr int number(int a, int b, int shift) {
    if (a == b) {
      return a == 0 ? shift : (a == 1 && !shared ? 13 + shift : -1);
    }
    if (a == 0) {
      return shift < 4 ? (b == 1 ? 5 : 13) + shift : -1;
    }
    return a == 1 && b == 0 && shift > 0 ? 8 + shift : -1;
  }

  LINATTN_HOST_DEVICE static constexpr int third_turn(int group) { return group >= 2 ? 1 : 0; }

  /// Block b of the group, as the row counts them.
  LINATTN_HOST_DEVICE static constexpr int block(int group, int b) { return shared ? (group + b) % 4 : b; }

  /// The n-th octet of the group, as the row counts them; the constant is group 0's.
  LINATTN_HOST_DEVICE static constexpr octet of(int group, int n) {
    octet const o = at(n);
    if (!shared || o.kind == octet_kind::none) {
      return o;
    }
    if (o.kind == octet_kind::constant) {
      return group == 0 ? o : octet{};
    }
    return {o.kind, block(group, o.a), block(group, o.b), o.shift + (o.b == 2 ? third_turn(group) : 0)};
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail

#endif
