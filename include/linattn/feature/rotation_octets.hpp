// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotation octets: the features of c0 + c1 s + c2 s^2 as matrix units like them; state_order.hpp describes the order. A row
// is cut into blocks of 8; an octet is the 8 products x[8 a + g] x[8 b + (g + shift) % 8]. Weights are on the key's side.
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
  static constexpr int pair_octets = Map::c2 > 0 ? blocks * (4 * blocks + 1) : 0;
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
      case octet_kind::pairs: return o.once() ? 2 * Map::c2 : Map::c2;
      case octet_kind::linear: return Map::c1;
      case octet_kind::constant: return Map::c0;
      default: return 0;
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

}  // namespace linattn::inline LINATTN_ABI::detail

#endif
