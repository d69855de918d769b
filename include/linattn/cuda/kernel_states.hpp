// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The sums phi(k') v^T and phi(k') over each piece of a sequence, from zero: what the chunkwise form keeps between
// pieces. A block sums a stretch of features and a tile of values; the accumulators stay in registers. backward() sums
// the mirror image, phi(q') G^T and phi(q') c (kernel_scaled_grads.hpp), over all queries that read a key head.
#ifndef LINATTN_CUDA_KERNEL_STATES_HPP
#define LINATTN_CUDA_KERNEL_STATES_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/rows.hpp>
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
  static constexpr int kMinBlocks = 2;
  static constexpr int tokens = 64;  // a step
  static constexpr int value_tile = 64;
  static constexpr int feature_tile = 64;  // 16 a warp
  static constexpr int feature_tiles = (features::count + feature_tile - 1) / feature_tile;

  struct Params {
    Map map;
    device_shape shape;
    device_rows<row_element const> k;
    device_rows<value_element const> v;
    device_states<real> states;  // one a piece; k_sum may be absent
    std::int64_t piece_tokens;
    int value_tiles;
    std::int64_t first_item;
    device_rows<real const> weights{};  // of the rows in k_sum; no data: zero
  };
  struct Shared {
    feature_rows<Map, Operand, tokens, features::exact_rows> k;
    shared_tile<operand_element, tokens, value_tile> v;
    shared_tile<operand_element, tokens, feature_tile> phi;
    real weights[std::size_t{OfQueries ? tokens : 1}];
  };

  static std::int64_t items(Params const& p) {
    return p.shape.pieces(p.piece_tokens) * p.shape.kv_heads * p.value_tiles * feature_tiles;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const first_feature = item.digit(feature_tiles) * feature_tile;
    int const column = item.digit(p.value_tiles) * value_tile;
    int const head = item.digit(p.shape.kv_heads);
    device_piece const piece = p.shape.piece(item.rest(), p.piece_tokens);
    if (piece.unused()) {
      return;  // all of the block
    }

    real sum[8][4] = {};  // features g, g + 8 of this warp; values 8 n + 2 t, + 1
    real k_sum[4] = {};   // the same features; column 0 of a product by a column of ones
    int const members = OfQueries ? p.shape.group() : 1;
    LINATTN_SIMT_NO_UNROLL
    for (int member = 0; member < members; ++member) {
      int const row_head = OfQueries ? p.shape.query_head(head, member) : head;
      LINATTN_SIMT_NO_UNROLL
      for (std::int64_t begin = piece.begin; begin < piece.end; begin += tokens) {
        int const count = piece.end - begin < tokens ? static_cast<int>(piece.end - begin) : tokens;
        simt::block_sync();  // the tiles of the last step have been read
        stage(p, s, piece.sequence.batch, row_head, begin, count, column);
        simt::block_sync();
        features::template fill<kThreads>(s.phi, s.k, p.map, first_feature, count, role::key);
        simt::block_sync();
        add_step(sum, k_sum, s);
      }
    }
    write(p.states.at(piece.unit, head), sum, k_sum, first_feature, column, p.shape.value_dim);
  }

 private:
  static LINATTN_DEVICE void stage(Params const& p, Shared& s, std::int64_t batch, int head, std::int64_t begin,
                                   int count, int column) {
    row_element const* const k_rows = p.k.row(batch, head, begin);
    if constexpr (Prepared) {
      stage_prepared_rows<kThreads>(s.k.rounded, k_rows, p.k.time_stride, count);
      simt::copy_async_commit();
      simt::copy_async_wait<0>();
      if constexpr (features::exact_rows) {
        simt::block_sync();
        widen_rows<kThreads, Map>(s.k);
      }
    } else {
      stage_rows<kThreads>(s.k.rounded, s.k.reals(), p.map, role::key, head, k_rows, p.k.time_stride, p.k.vectors,
                           count);
    }
    stage_values<kThreads, real>(s.v, p.v.row(batch, head, begin), p.v.time_stride, p.v.vectors, count, column,
                                 p.shape.value_dim);
    if constexpr (OfQueries) {
      stage_numbers<kThreads>(s.weights, p.weights, batch, head, begin, count);
    }
  }

  static LINATTN_DEVICE void add_step(real (&sum)[8][4], real (&k_sum)[4], Shared const& s) {
    real const one = simt::lane() < 4 ? real(1) : real(0);  // column 0 of B
    word ones[2] = {Operand::pack(one, one), Operand::pack(one, one)};
    LINATTN_SIMT_UNROLL
    for (int row = 0; row < tokens; row += 16) {
      if constexpr (OfQueries) {
        real const* const weights = s.weights + row + 2 * (simt::lane() % 4);
        ones[0] = Operand::pack(weights[0] * one, weights[1] * one);
        ones[1] = Operand::pack(weights[8] * one, weights[9] * one);
      }
      word phi[4];
      load_a_transposed<Operand>(phi, s.phi, row, simt::warp() * 16);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 8; n += 2) {
        word v[4];
        load_b<Operand>(v, s.v, row, 8 * n);
        Operand::mma(sum[n], phi, v[0], v[1]);
        Operand::mma(sum[n + 1], phi, v[2], v[3]);
      }
      Operand::mma(k_sum, phi, ones[0], ones[1]);
    }
  }

  /// In the map's packed order.
  static LINATTN_DEVICE void write(device_slot<real> const& to, real const (&sum)[8][4], real const (&k_sum)[4],
                                   int first_feature, int column, int value_dim) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      packed_place const at = features::place(first_feature + simt::warp() * 16 + half * 8 + g);
      if (at.index < 0 || at.second) {
        continue;
      }
      real const factor = real(1) / static_cast<real>(at.factor);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 16; ++i) {
        int const value = column + i / 2 * 8 + 2 * t + i % 2;
        if (value < value_dim) {
          simt::store(to.kv + at.index * to.feature_stride + value * to.value_stride,
                      sum[i / 2][2 * half + i % 2] * factor);
        }
      }
      if (to.k_sum != nullptr && column == 0 && t == 0) {
        simt::store(to.k_sum + at.index * to.k_sum_stride, k_sum[2 * half] * factor);
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
