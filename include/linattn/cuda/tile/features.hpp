// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Features of the rows of a shared tile, written to another shared tile, a stretch of them at a time. Polynomial maps
// are expanded in rotation octets from the rounded rows; any other map through its `feature` hook from the exact ones.
#ifndef LINATTN_CUDA_TILE_FEATURES_HPP
#define LINATTN_CUDA_TILE_FEATURES_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// The rows of a tile as features take them: rounded for matrix units and, if the map's hooks need them, exact.
template <class Map, class Operand, int Rows, bool Exact>
struct feature_rows {
  shared_tile<typename Operand::element, Rows, round_up_to(Map::head_dim, 16)> rounded;
  typename Operand::real exact[std::size_t{Rows} * Map::head_dim];

  LINATTN_DEVICE typename Operand::real* reals() { return exact; }
};
template <class Map, class Operand, int Rows>
struct feature_rows<Map, Operand, Rows, false> {
  shared_tile<typename Operand::element, Rows, round_up_to(Map::head_dim, 16)> rounded;

  static LINATTN_DEVICE typename Operand::real* reals() { return nullptr; }
};

/// The exact rows from the rounded ones, where those are all there is.
template <int Threads, class Map, class Rows>
LINATTN_DEVICE void widen_rows(Rows& rows) {
  using real = std::remove_pointer_t<decltype(rows.reals())>;
  constexpr int count = decltype(rows.rounded)::rows * Map::head_dim;
  LINATTN_SIMT_NO_UNROLL
  for (int i = static_cast<int>(simt::thread_idx().x); i < count; i += Threads) {
    rows.reals()[i] = to_real<real>(simt::load(rows.rounded.row(i / Map::head_dim) + i % Map::head_dim));
  }
}

template <class Map, class Operand>
struct hook_features {
  static constexpr int count = Map::feature_dim;
  static constexpr bool exact_rows = true;

  LINATTN_HOST_DEVICE static constexpr packed_place place(int n) {
    return n < count ? packed_place{n, 1, false} : packed_place{};
  }

  /// Features [first, first + Tile::columns) of the first `valid` rows; zero elsewhere.
  template <int Threads, class Rows, class Tile>
  static LINATTN_DEVICE void fill(Tile& phi, Rows& rows, Map const& map, int first, int valid, role) {
    using real = typename Operand::real;
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < Tile::rows * Tile::columns; i += Threads) {
      int const row = i / Tile::columns;
      int const n = first + i % Tile::columns;
      real const x = row < valid && n < count ? map.feature(rows.reals() + row * Map::head_dim, n) : real(0);
      simt::store(phi.row(row) + i % Tile::columns, to_element<typename Operand::element>(x));
    }
  }
};

template <PolynomialMap Map, class Operand>
struct octet_features {
  using list = octet_list<Map>;
  static constexpr int count = 8 * list::octets;
  static constexpr bool exact_rows = false;

  LINATTN_HOST_DEVICE static constexpr packed_place place(int n) { return list::place(list::at(n / 8), n % 8); }

  template <int Threads, class Rows, class Tile>
  static LINATTN_DEVICE void fill(Tile& phi, Rows& rows, Map const&, int first, int valid, role r) {
    using word = typename Operand::word;
    using real = typename Operand::real;
    constexpr int per_row = Tile::columns / 8;
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < Tile::rows * per_row; i += Threads) {
      int const row = i % Tile::rows;  // a warp works on one octet: its branches are the same
      octet const o = list::at(first / 8 + i / Tile::rows);
      auto* const to = reinterpret_cast<word*>(phi.row(row) + i / Tile::rows * 8);
      real const weight = r == role::key ? static_cast<real>(list::weight(o)) : real(1);
      auto const* const x = reinterpret_cast<word const*>(rows.rounded.row(row) + 8 * o.a);
      auto const* const y = reinterpret_cast<word const*>(rows.rounded.row(row) + 8 * o.b);
      LINATTN_SIMT_UNROLL
      for (int w = 0; w < 4; ++w) {
        word product = Operand::pack(real(0), real(0));
        if (o.kind == octet_kind::constant) {
          product = Operand::pack(w == 0 && row < valid ? weight : real(0), real(0));
        } else if (o.kind != octet_kind::none) {
          word const from = simt::load(x + w);
          real low = Operand::low(from);
          real high = Operand::high(from);
          if (o.kind == octet_kind::pairs) {
            word turned = simt::load(y + (w + o.shift / 2) % 4);
            if (o.shift % 2 != 0) {
              turned = Operand::straddle(turned, simt::load(y + (w + o.shift / 2 + 1) % 4));
            }
            low *= Operand::low(turned);
            high *= Operand::high(turned);
          }
          product = Operand::pack(low * weight, high * weight);
        }
        simt::store(to + w, product);
      }
    }
  }
};

template <class Map, class Operand>
struct features_choice {
  using type = hook_features<Map, Operand>;
};
template <PolynomialMap Map, class Operand>
struct features_choice<Map, Operand> {
  using type = octet_features<Map, Operand>;
};
template <class Map, class Operand>
using features_of = typename features_choice<Map, Operand>::type;

/// Rows [first, first + Tile::rows) of a state in the order of Features, columns [column, column + ValueTile) of it,
/// times `scale`; in a wider tile, column ValueTile holds k_sum. Zero where the state has nothing.
template <int Threads, class Features, int ValueTile, class Tile, class Real>
LINATTN_DEVICE void stage_state(Tile& tile, device_slot<Real const> const& from, int first, int column, int value_dim,
                                Real scale) {
  LINATTN_SIMT_NO_UNROLL
  for (int row = simt::warp(); row < Tile::rows; row += Threads / 32) {
    packed_place const at = Features::place(first + row);
    Real const factor = static_cast<Real>(at.factor) * scale;
    Real const* const values = from.kv + (at.index >= 0 ? at.index : 0) * from.feature_stride;
    LINATTN_SIMT_NO_UNROLL
    for (int n = simt::lane(); n < Tile::columns; n += 32) {
      Real x = Real(0);
      if (at.index >= 0 && n < ValueTile && column + n < value_dim) {
        x = simt::load(values + (column + n) * from.value_stride);
      } else if (at.index >= 0 && n == ValueTile && from.k_sum != nullptr) {
        x = simt::load(from.k_sum + at.index * from.k_sum_stride);
      }
      simt::store(tile.row(row) + n, to_element<typename Tile::element>(x * factor));
    }
  }
}

/// What sums in a narrow format are multiplied by, so that `tokens` of them do not overflow: a power of two.
template <class Operand>
LINATTN_DEVICE typename Operand::real state_scale(std::int64_t tokens) {
  using real = typename Operand::real;
  real scale = real(1);
  if constexpr (Operand::narrow_range) {
    for (std::int64_t left = tokens; left >= 256; left /= 2) {
      scale *= real(0.5);
    }
  }
  return scale;
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
