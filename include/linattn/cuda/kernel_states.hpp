// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The sums phi(k') v^T and phi(k') over each piece of a sequence, from zero: what the chunkwise form keeps between
// pieces. A block sums a stretch of features and a tile of values; the accumulators stay in registers. backward() sums
// the mirror image, phi(q') G^T and phi(q') c (kernel_scaled_grads.hpp), over all queries that read a key head.
#ifndef LINATTN_CUDA_KERNEL_STATES_HPP
#define LINATTN_CUDA_KERNEL_STATES_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/products.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/cuda/tile/staged_pairs.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Prepared: k holds rows that prepare_kernel wrote, in the operand format. OfQueries: k holds the queries' rows, v and
/// `weights` their G and c.
template <class Map, class Element, class Operand, bool Prepared, bool OfQueries = false>
struct states_kernel {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using operand_element = typename Operand::element;
  using row_element = std::conditional_t<Prepared, operand_element, Element>;
  using value_element = std::conditional_t<OfQueries, operand_element, Element>;
  using features = features_of<Map, Operand>;
  static constexpr char const* name = "launching states_kernel";
  static constexpr int kThreads = 128;
  static constexpr bool narrow_rows = Prepared && sizeof(operand_element) == 2;
  static constexpr int kMinBlocks = narrow_rows && !OfQueries && Map::head_dim > 32 && Map::head_dim <= 64 ? 3 : 2;
  static constexpr int tokens = 64;  // a step
  static constexpr int value_tile = 64;
  // Blocks of 16 features, a warp: two share what is loaded of values.
  static constexpr int blocks = narrow_rows && features::count > 64 && !features::exact_rows ? 2 : 1;
  static constexpr int feature_tile = 64 * blocks;
  static constexpr int feature_tiles_of_state = (features::count + feature_tile - 1) / feature_tile;
  using pairs_tile = staged_pairs<Map, row_element, value_element, Operand, Prepared, kThreads, value_tile>;
  using hook_tiles = feature_tiles<Map, Operand, tokens, feature_tile, features::exact_rows>;
  static constexpr int stages = 2 * sizeof(pairs_tile) + sizeof(hook_tiles) <= 96 * 1024 ? 2 : 1;

  struct Params {
    Map map;
    device_shape shape;
    device_rows<row_element const> k;
    device_rows<value_element const> v;
    device_states<real> states;  // one a piece; k_sum may be absent
    bool all_pieces;             // or nobody asks for the sums of a sequence's last piece; of queries, the first
    std::int64_t piece_tokens;
    int value_tiles;
    std::int64_t first_item;
    device_rows<real const> weights{};  // of the rows in k_sum; no data: zero
  };
  struct stage : pairs_tile {
    real weights[std::size_t{OfQueries ? tokens : 1}];
  };
  struct Shared {
    stage rows[std::size_t{stages}];
    hook_tiles hooks;
  };

  static std::int64_t items(Params const& p) {
    return p.shape.pieces(p.piece_tokens) * p.shape.kv_heads * p.value_tiles * feature_tiles_of_state;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const first_feature = item.digit(feature_tiles_of_state) * feature_tile;
    int const column = item.digit(p.value_tiles) * value_tile;
    int const head = item.digit(p.shape.kv_heads);
    device_piece const piece = p.shape.piece(item.rest(), p.piece_tokens);
    if (piece.unused() || (!p.all_pieces && (OfQueries ? piece.index == 0 : piece.last()))) {
      return;  // all of the block
    }

    sums_of_warp sums{};
    fragments own[std::size_t{blocks}];
    features const made(first_feature);
    LINATTN_SIMT_UNROLL
    for (int b = 0; b < blocks; ++b) {
      own[b] = made.at(simt::warp() * 16 * blocks + 16 * b);
    }
    int const members = OfQueries ? p.shape.group() : 1;
    int const first_head = OfQueries ? p.shape.query_head(head, 0) : head;
    int const head_step = OfQueries ? p.shape.query_head(head, 1) - first_head : 0;
    auto const head_of = [&](int member) { return first_head + member * head_step; };
    stage_in_turn(
        s.rows, piece.size(), members,
        [&](stage& to, int member, int first, int count) {
          start(p, to, piece.sequence.batch, head_of(member), piece.begin + first, count, column);
        },
        [&](stage& to, int member, int, int count) {
          to.finish_rows(p.map, role::key, head_of(member), count, s.hooks.reals());
          to.finish_values();
        },
        [] {},
        [&](stage const& from, int, int, int count) {
          if constexpr (features::exact_rows) {
            features::template fill<kThreads>(s.hooks, p.map, first_feature, count);
            simt::block_sync();
          }
          add_step(sums, own, s.hooks, from, count);
        });
    write(p.states.at(piece.unit, head), sums, first_feature, column, p.shape.value_dim);
  }

 private:
  using fragments = typename features::fragments;
  /// Of this warp's blocks of 16 features: features g, g + 8; values 8 n + 2 t, + 1. k_sum is column 0 of a product by
  /// a column of ones.
  struct sums_of_warp {
    real kv[std::size_t{blocks}][8][4];
    real k_sum[std::size_t{blocks}][4];
  };

  static LINATTN_DEVICE void start(Params const& p, stage& to, std::int64_t batch, int head, std::int64_t begin,
                                   int count, int column) {
    to.start_rows(p.k.row(batch, head, begin), p.k.time_stride, p.k.vectors, count);
    to.start_values(p.v.row(batch, head, begin), p.v.time_stride, p.v.vectors, count, column, p.shape.value_dim);
    if constexpr (OfQueries) {
      stage_numbers<kThreads>(to.weights, p.weights, batch, head, begin, count);
    }
  }

  static LINATTN_DEVICE void add_step(sums_of_warp& sums, fragments const (&own)[std::size_t{blocks}],
                                      hook_tiles const& hooks, stage const& from, int count) {
    real const one = simt::lane() < 4 ? real(1) : real(0);  // column 0 of B
    LINATTN_SIMT_UNROLL
    for (int row = 0; row < tokens; row += 16) {
      int const first = row + 2 * (simt::lane() % 4);
      word ones[2];
      if constexpr (OfQueries) {
        real const* const weights = from.weights + first;
        ones[0] = Operand::pack(weights[0] * one, weights[1] * one);
        ones[1] = Operand::pack(weights[8] * one, weights[9] * one);
      } else {
        auto const counted = [&](int n) { return first + n < count ? one : real(0); };
        ones[0] = Operand::pack(counted(0), counted(1));
        ones[1] = Operand::pack(counted(8), counted(9));
      }
      word phi[std::size_t{blocks}][4];
      LINATTN_SIMT_UNROLL
      for (int b = 0; b < blocks; ++b) {
        own[b].load_transposed(phi[b], from.k, hooks, row);
        Operand::mma(sums.k_sum[b], phi[b], ones[0], ones[1]);
      }
      multiply_blocks<Operand>(sums.kv, phi, from.v, row);
    }
  }

  /// In the map's packed order.
  static LINATTN_DEVICE void write(device_slot<real> const& to, sums_of_warp const& sums, int first_feature, int column,
                                   int value_dim) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    bool const pairs = to.value_stride == 1 && to.feature_stride % 2 == 0;  // the workspace is aligned
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2 * blocks; ++half) {
      int const n = first_feature + simt::warp() * 16 * blocks + half * 8 + g;
      packed_place const at = features::place(n);
      if (at.index < 0 || at.second) {
        continue;
      }
      real const factor = static_cast<real>(features::weight(n) / at.factor);
      real* const row = to.kv + at.index * to.feature_stride;
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 8; ++i) {
        real const* const sum = sums.kv[half / 2][i] + half % 2 * 2;
        int const value = column + 8 * i + 2 * t;
        if (to.value_stride == 1) {
          write_pair(row, value, value_dim, pairs, sum[0] * factor, sum[1] * factor);
          continue;
        }
        LINATTN_SIMT_UNROLL
        for (int e = 0; e < 2; ++e) {
          if (value + e < value_dim) {
            simt::store(row + (value + e) * to.value_stride, sum[e] * factor);
          }
        }
      }
      if (to.k_sum != nullptr && column == 0 && t == 0) {
        simt::store(to.k_sum + at.index * to.k_sum_stride, sums.k_sum[half / 2][half % 2 * 2] * factor);
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
