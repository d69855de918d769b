// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From gradients by features, in the accumulators of a product, to gradients by the rows: 64 rows of a shared tile, a
// stretch of 64 features at a time. Polynomial maps stay in registers, octet by octet; any other map goes through its
// `feature_backward` hook, a thread a row.
#ifndef LINATTN_CUDA_TILE_FEATURE_GRADS_HPP
#define LINATTN_CUDA_TILE_FEATURE_GRADS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

inline constexpr int feature_grad_rows = 64;  // 16 a warp
inline constexpr int feature_grad_tile = 64;

/// In both, accumulator d[n][e] of lane 4 g + t is feature 8 n + 2 t + e % 2 of row 8 (e / 2) + g of this warp.
template <class Map, class Operand>
struct hook_grads {
  using real = typename Operand::real;
  static constexpr int dim = Map::head_dim;
  static constexpr int tiles = (Map::feature_dim + feature_grad_tile - 1) / feature_grad_tile;
  static constexpr bool exact_rows = true;
  struct Shared {
    real sums[std::size_t{feature_grad_rows}][std::size_t{dim + 1}];  // odd: threads take rows
    real features[std::size_t{feature_grad_rows}][std::size_t{feature_grad_tile + 1}];
  };

  LINATTN_HOST_DEVICE static constexpr packed_place place(int n) { return hook_features<Map, Operand>::place(n); }

  /// sums += what the features [64 tile, 64 tile + 64) contribute. The caller's next barrier ends it.
  template <class Rows>
  static LINATTN_DEVICE void add(Shared& s, Rows& x, Map const& map, real const (&d)[8][4], int tile) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 32; ++i) {
      int const e = i % 4;
      s.features[simt::warp() * 16 + e / 2 * 8 + g][i / 4 * 8 + 2 * t + e % 2] = d[i / 4][e];
    }
    simt::block_sync();
    int const row = static_cast<int>(simt::thread_idx().x);
    if (row < feature_grad_rows) {
      int const first = tile * feature_grad_tile;
      int const left = Map::feature_dim - first;
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < (left < feature_grad_tile ? left : feature_grad_tile); ++n) {
        map.feature_backward(static_cast<real const*>(x.reals() + row * dim), first + n, s.features[row][n],
                             s.sums[row]);
      }
    }
  }
};

/// A tile of features is the octets of a pair of blocks, (a, a) or (a, b) and (b, a), or eight linear octets. A lane
/// adds to its own columns of its own rows: no barriers.
template <PolynomialMap Map, class Operand>
struct octet_grads {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using list = octet_list<Map>;
  static constexpr int blocks = list::blocks;
  static constexpr int pair_tiles = Map::c2 > 0 ? blocks*(blocks + 1) / 2 : 0;
  static constexpr int tiles = pair_tiles + (Map::c1 > 0 ? (blocks + 7) / 8 : 0);
  static constexpr bool exact_rows = false;
  struct Shared {
    real sums[std::size_t{feature_grad_rows}][std::size_t{8 * blocks}];
  };

  LINATTN_HOST_DEVICE static constexpr packed_place place(int n) {
    octet const o = octet_of(n / feature_grad_tile, n % feature_grad_tile / 8);
    return o.kind == octet_kind::none ? packed_place{} : list::place(o, n % 8);
  }

  template <class Rows>
  static LINATTN_DEVICE void add(Shared& s, Rows& x, Map const&, real const (&d)[8][4], int tile) {
    int const column = 2 * (simt::lane() % 4);
    block_pair const blocks_of_tile = pair_of(tile);
    int const a = 8 * blocks_of_tile.a;
    int const b = 8 * blocks_of_tile.b;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      int const row = simt::warp() * 16 + half * 8 + simt::lane() / 4;
      real* const sums = s.sums[row] + column;
      if (tile >= pair_tiles) {
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < 8; ++n) {
          int const block = (tile - pair_tiles) * 8 + n;
          if (block < blocks) {
            sums[8 * block] += d[n][2 * half];
            sums[8 * block + 1] += d[n][2 * half + 1];
          }
        }
        continue;
      }
      neighbours const from_a(x.rounded.row(row) + a);
      real by_a[2] = {};
      real turned[5][2] = {};
      if (a == b) {
        LINATTN_SIMT_UNROLL
        for (int r = 0; r < 5; ++r) {
          multiply(by_a, turned[r], d[r], half, from_a, from_a, r);
        }
        turn_and_add(by_a, turned);
      } else {
        neighbours const from_b(x.rounded.row(row) + b);
        real by_b[2] = {};
        LINATTN_SIMT_UNROLL
        for (int r = 0; r < 4; ++r) {
          multiply(by_a, turned[r], d[r], half, from_a, from_b, r);
        }
        turn_and_add(by_b, turned);
        turned[0][0] = turned[0][1] = real(0);
        LINATTN_SIMT_UNROLL
        for (int r = 1; r < 5; ++r) {
          multiply(by_b, turned[r], d[r + 3], half, from_b, from_a, r);
        }
        turn_and_add(by_a, turned);
        sums[b] += by_b[0];
        sums[b + 1] += by_b[1];
      }
      sums[a] += by_a[0];
      sums[a + 1] += by_a[1];
    }
  }

 private:
  struct block_pair {
    int a, b;
  };
  LINATTN_HOST_DEVICE static constexpr block_pair pair_of(int tile) {
    int a = 0;
    for (int own = blocks; tile >= own && own > 0; --own) {
      tile -= own;
      ++a;
    }
    return {a, a + tile};
  }
  LINATTN_HOST_DEVICE static constexpr octet octet_of(int tile, int n) {
    if (tile >= pair_tiles) {
      int const block = (tile - pair_tiles) * 8 + n;
      return block < blocks && tile < tiles ? octet{octet_kind::linear, block, block, 0} : octet{};
    }
    block_pair const at = pair_of(tile);
    if (at.a == at.b) {
      return n < 5 ? octet{octet_kind::pairs, at.a, at.a, n} : octet{};
    }
    return n < 4 ? octet{octet_kind::pairs, at.a, at.b, n} : octet{octet_kind::pairs, at.b, at.a, n - 3};
  }

  /// The six numbers of a block from this lane's first column on, around its end.
  struct neighbours {
    real x[6];

    template <class T>
    explicit LINATTN_DEVICE neighbours(T const* block) {
      int const t = simt::lane() % 4;
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 3; ++i) {
        word const w = simt::load(reinterpret_cast<word const*>(block) + (t + i) % 4);
        x[2 * i] = Operand::low(w);
        x[2 * i + 1] = Operand::high(w);
      }
    }
  };

  /// An octet x[g] y[(g + r) % 8]: its gradient by x, and by y still at the places of x.
  static LINATTN_DEVICE void multiply(real (&by_x)[2], real (&by_y)[2], real const (&d)[4], int half,
                                      neighbours const& x, neighbours const& y, int r) {
    LINATTN_SIMT_UNROLL
    for (int e = 0; e < 2; ++e) {
      real const grad = d[2 * half + e];
      by_x[e] += grad * y.x[e + r];
      by_y[e] = grad * x.x[e];
    }
  }

  /// sums += each of the turned ones, r columns further on.
  static LINATTN_DEVICE void turn_and_add(real (&sums)[2], real const (&turned)[5][2]) {
    int const before = simt::lane() / 4 * 4 + (simt::lane() + 3) % 4;
    real odd[2];
    LINATTN_SIMT_UNROLL
    for (int e = 0; e < 2; ++e) {
      real const two = turned[2][e] + simt::shuffle(turned[4][e], before);
      sums[e] += turned[0][e] + simt::shuffle(two, before);
      odd[e] = turned[1][e] + simt::shuffle(turned[3][e], before);
    }
    sums[0] += simt::shuffle(odd[1], before);
    sums[1] += odd[0];
  }
};

template <class Map, class Operand>
struct feature_grads_choice {
  using type = hook_grads<Map, Operand>;
};
template <PolynomialMap Map, class Operand>
struct feature_grads_choice<Map, Operand> {
  using type = octet_grads<Map, Operand>;
};
template <class Map, class Operand>
using feature_grads_of = typename feature_grads_choice<Map, Operand>::type;

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
