// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Features of the rows of a shared tile, a stretch of them at a time. Polynomial maps are expanded in rotation octets
// from the rounded rows, in registers; any other map through its `feature` hook from the exact ones, in another tile.
#ifndef LINATTN_CUDA_TILE_FEATURES_HPP
#define LINATTN_CUDA_TILE_FEATURES_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/tile/octet_fragments.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

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

/// What a kernel holds to make `Tile` features of the rows of a shared tile at a time. Exact: a map's hooks need the
/// rows as real numbers, and leave features in a tile; others are made in registers.
template <class Map, class Operand, int Rows, int Tile, bool Exact>
struct feature_tiles {
  shared_tile<typename Operand::element, Rows, Tile> phi;
  typename Operand::real exact[std::size_t{Rows} * Map::head_dim];

  LINATTN_DEVICE typename Operand::real* reals() { return exact; }
};
template <class Map, class Operand, int Rows, int Tile>
struct feature_tiles<Map, Operand, Rows, Tile, false> {
  static LINATTN_DEVICE typename Operand::real* reals() { return nullptr; }
};

/// The exact rows from the rounded ones, where those are all there is.
template <int Threads, class Map, class Tile, class Real>
LINATTN_DEVICE void widen_rows(Tile const& rounded, Real* reals) {
  LINATTN_SIMT_NO_UNROLL
  for (int i = static_cast<int>(simt::thread_idx().x); i < Tile::rows * Map::head_dim; i += Threads) {
    reals[i] = to_real<Real>(simt::load(rounded.row(i / Map::head_dim) + i % Map::head_dim));
  }
}

/// Features by their number. Exact rows: fill() leaves features [first, first + Tile) in the tile, for all threads
/// after a barrier; else it has nothing to do. at() loads 16 of them, from the `f`-th on, of 16 rows. weight(): what
/// sums of the key's features have yet to be multiplied by.
template <class Map, class Operand>
struct hook_features {
  static constexpr int count = Map::feature_dim;
  static constexpr bool exact_rows = true;
  using word = typename Operand::word;

  LINATTN_HOST_DEVICE static constexpr packed_place place(int n) {
    return n < count ? packed_place{n, 1, false} : packed_place{};
  }
  LINATTN_HOST_DEVICE static constexpr double weight(int) { return 1; }

  explicit LINATTN_DEVICE hook_features(int) {}

  /// Of the first `valid` rows; zero elsewhere.
  template <int Threads, class Tiles>
  static LINATTN_DEVICE void fill(Tiles& tiles, Map const& map, int first, int valid) {
    using real = typename Operand::real;
    using tile = decltype(tiles.phi);
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < tile::rows * tile::columns; i += Threads) {
      int const row = i / tile::columns;
      int const n = first + i % tile::columns;
      real const x = row < valid && n < count ? map.feature(tiles.reals() + row * Map::head_dim, n) : real(0);
      simt::store(tiles.phi.row(row) + i % tile::columns, to_element<typename Operand::element>(x));
    }
  }

  struct fragments {
    int first;

    template <class Rows, class Tiles>
    LINATTN_DEVICE void load_rows(word (&phi)[4], Rows const&, Tiles const& tiles, int row) const {
      load_a<Operand>(phi, tiles.phi, row, first);
    }
    template <class Rows, class Tiles>
    LINATTN_DEVICE void load_transposed(word (&phi)[4], Rows const&, Tiles const& tiles, int row) const {
      load_a_transposed<Operand>(phi, tiles.phi, row, first);
    }
  };
  [[nodiscard]] LINATTN_DEVICE fragments at(int f) const { return {f}; }
};

template <PolynomialMap Map, class Operand>
struct octet_features {
  using list = octet_list<Map>;
  using fragments = octet_fragments<Map, Operand>;
  static constexpr int count = 8 * list::octets;
  static constexpr bool exact_rows = false;

  LINATTN_HOST_DEVICE static constexpr packed_place place(int n) { return list::place(list::at(n / 8), n % 8); }
  LINATTN_HOST_DEVICE static constexpr double weight(int n) { return list::weight(list::at(n / 8)); }

  /// Lane n works out the n-th octet from `first` on: the others ask it.
  explicit LINATTN_DEVICE octet_features(int first) : code_(fragments::coded(list::at(first / 8 + simt::lane()))) {}

  template <int Threads, class Tiles>
  static LINATTN_DEVICE void fill(Tiles&, Map const&, int, int) {}

  [[nodiscard]] LINATTN_DEVICE fragments at(int f) const {
    return {fragments::decoded(simt::shuffle(code_, f / 8)), fragments::decoded(simt::shuffle(code_, f / 8 + 1))};
  }

 private:
  std::uint32_t code_;
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

/// Where the features of a tile lie in a state, and what the state is multiplied by there; a thread finds one.
template <class Real, int Rows>
struct state_places {
  int index[std::size_t{Rows}];  // below zero: nowhere
  Real factor[std::size_t{Rows}];

  template <class Features>
  LINATTN_DEVICE void find(int first, Real scale) {
    int const row = static_cast<int>(simt::thread_idx().x);
    if (row < Rows) {
      packed_place const at = Features::place(first + row);
      index[row] = at.index;
      factor[row] = static_cast<Real>(at.factor) * scale;
    }
  }
};

/// The rows of a state at these places, columns [column, column + ValueTile) of them; in a wider tile, column ValueTile
/// holds k_sum.
/// Zero where the state has nothing. Eight loads of a thread are under way together where rows are contiguous.
template <int Threads, int ValueTile, class Operand, class Tile, class Real>
LINATTN_DEVICE void stage_state_rows(Tile& tile, device_slot<Real const> const& from,
                                     state_places<Real, Tile::rows> const& places, int column, int value_dim) {
  using piece = element_piece<Real>;
  using word = typename Operand::word;
  constexpr int per_row = ValueTile / piece::size;
  constexpr int rounds = Tile::rows * per_row / Threads;
  constexpr int together = rounds % 8 == 0 ? 8 : 1;
  int const thread = static_cast<int>(simt::thread_idx().x);
  if (from.value_stride == 1 && from.feature_stride % piece::size == 0 && column + ValueTile <= value_dim &&
      reinterpret_cast<std::uintptr_t>(from.kv) % 16 == 0) {
    LINATTN_SIMT_NO_UNROLL
    for (int round = 0; round < rounds; round += together) {
      piece values[std::size_t{together}] = {};
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < together; ++i) {
        int const number = (round + i) * Threads + thread;
        int const index = places.index[number / per_row];
        if (index >= 0) {
          values[i] = simt::load(reinterpret_cast<piece const*>(from.kv + index * from.feature_stride + column) +
                                 number % per_row);
        }
      }
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < together; ++i) {
        int const number = (round + i) * Threads + thread;
        Real const factor = places.factor[number / per_row];
        auto* const to = reinterpret_cast<word*>(tile.row(number / per_row) + number % per_row * piece::size);
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < piece::size; n += 2) {
          simt::store(to + n / 2, Operand::pack(values[i].e[n] * factor, values[i].e[n + 1] * factor));
        }
      }
    }
  } else {
    LINATTN_SIMT_NO_UNROLL
    for (int i = thread; i < Tile::rows * ValueTile; i += Threads) {
      int const index = places.index[i / ValueTile];
      int const value = column + i % ValueTile;
      Real x = Real(0);
      if (index >= 0 && value < value_dim) {
        x = simt::load(from.kv + index * from.feature_stride + value * from.value_stride) *
            places.factor[i / ValueTile];
      }
      simt::store(tile.row(i / ValueTile) + i % ValueTile, to_element<typename Tile::element>(x));
    }
  }
  if constexpr (Tile::columns > ValueTile) {
    LINATTN_SIMT_UNROLL
    for (int row = thread; row < Tile::rows; row += Threads) {
      bool const there = places.index[row] >= 0 && from.k_sum != nullptr;
      Real const sum = there ? simt::load(from.k_sum + places.index[row] * from.k_sum_stride) : Real(0);
      LINATTN_SIMT_UNROLL
      for (int n = ValueTile; n < Tile::columns; n += 2) {
        simt::store(reinterpret_cast<word*>(tile.row(row) + n),
                    Operand::pack(n == ValueTile ? sum * places.factor[row] : Real(0), Real(0)));
      }
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
