// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradient by a tile of prepared rows: pairs with the rows of the other side, and the state that holds the rest of
// them. Of queries: x = q' with its G and c, y = k' with v and 1, the state is that before the piece. Of keys, the
// mirror image: x = k' with v and 1, y = q' with G and c, the state is the sum phi(q') [G, c] after the piece. In both,
//   grad x = sum over y of score'(<x, y>) (x_values . y_values + c) y, and through the state dphi = S x_values.
#ifndef LINATTN_CUDA_KERNEL_ROW_GRADS_HPP
#define LINATTN_CUDA_KERNEL_ROW_GRADS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/feature_grads.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/products.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Element, class Operand, bool OfKeys>
struct row_grads_kernel {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  using x_value_element = std::conditional_t<OfKeys, Element, operand_element>;
  using y_value_element = std::conditional_t<OfKeys, operand_element, Element>;
  using feature_grads = feature_grads_of<Map, Operand>;
  static constexpr char const* name = "launching row_grads_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 2;
  static constexpr int tokens = feature_grad_rows;  // of x in a block, 16 a warp; of y in a step
  static constexpr int value_tile = 64;
  static constexpr int padded_dim = round_up_to(Map::head_dim, 16);

  struct Params {
    Map map;
    device_shape shape;
    device_rows<operand_element const> x;  // prepared rows
    device_rows<operand_element const> y;
    device_rows<x_value_element const> x_values;
    device_rows<y_value_element const> y_values;
    device_rows<real const> weights;   // c of the queries' rows; no data: zero
    device_rows<real> grads;           // by the prepared rows of x
    device_states<real const> states;  // or absent
    std::int64_t piece_tokens;         // a multiple of `tokens`, or at least the longest sequence
    bool state_a_sequence;             // states are numbered by sequence, not by piece
    pairs_with pairs;
    std::int64_t first_item;
  };
  struct Shared {
    feature_rows<Map, Operand, tokens, feature_grads::exact_rows> x;
    shared_tile<operand_element, tokens, padded_dim> y;
    shared_tile<operand_element, tokens, value_tile> x_values;
    shared_tile<operand_element, tokens, value_tile> y_values;  // or a stretch of the state's features
    real weights[std::size_t{tokens}];                          // c of the queries among x and y
    real k_sum[std::size_t{tokens}];                            // of a stretch of features
    state_places<real, feature_grad_tile> places;               // of the same
    typename feature_grads::Shared grads;
  };

  static LINATTN_HOST_DEVICE int heads_of(Params const& p) { return OfKeys ? p.shape.kv_heads : p.shape.heads; }
  static std::int64_t items(Params const& p) { return p.shape.pieces(tokens) * heads_of(p); }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const head = item.digit(heads_of(p));
    device_piece const tile = p.shape.piece(item.rest(), tokens);
    if (tile.begin >= tile.end) {
      return;  // all of the block
    }
    device_sequence const& sequence = tile.sequence;
    std::int64_t const piece = p.pairs == pairs_with::nothing ? 0 : (tile.begin - sequence.begin) / p.piece_tokens;
    x_tile const x{sequence.batch, head, tile.begin, tile.size()};

    stage_x(p, s, x);
    accumulators sums{};
    bool const causal = p.pairs == pairs_with::piece_up_to_query;
    token_span const span = partners<OfKeys>(tile, p.pairs, piece, p.piece_tokens);
    int const members = OfKeys ? p.shape.group() : 1;
    LINATTN_SIMT_NO_UNROLL
    for (int member = 0; member < members; ++member) {
      int const y_head = OfKeys ? p.shape.query_head(head, member) : p.shape.kv_head_of(head);
      LINATTN_SIMT_NO_UNROLL
      for (std::int64_t begin = span.begin; begin < span.end; begin += tokens) {
        int const count = span.end - begin < tokens ? static_cast<int>(span.end - begin) : tokens;
        add_pairs(sums, p, s, x, y_head, begin, count,
                  causal ? static_cast<int>(tile.begin - begin) : (OfKeys ? -tokens : tokens));
      }
    }
    bool const with_state = p.states.present();
    if (with_state) {
      std::int64_t const unit =
          p.state_a_sequence ? sequence.index : p.shape.first_piece(sequence.index, p.piece_tokens) + piece;
      add_state(p, s, x, p.states.at(unit, OfKeys ? head : p.shape.kv_head_of(head)));
    }
    write(p, s, sums, x, with_state);
  }

 private:
  struct x_tile {
    std::int64_t batch;
    int head;
    std::int64_t begin;
    int count;

    [[nodiscard]] LINATTN_DEVICE bool has_rows_of_warp() const { return simt::warp() * 16 < count; }
  };
  /// Of this warp's 16 rows: row g (e >= 2: g + 8), dims 8 n + 2 t + e % 2.
  struct accumulators {
    real grads[std::size_t{padded_dim / 8}][4];
  };

  static LINATTN_DEVICE void stage_x(Params const& p, Shared& s, x_tile const& x) {
    stage_prepared_rows<kThreads>(s.x.rounded, p.x.row(x.batch, x.head, x.begin), p.x.time_stride, x.count);
    simt::copy_async_commit();
    simt::copy_async_wait<0>();
    if constexpr (feature_grads::exact_rows) {
      simt::block_sync();
      widen_rows<kThreads, Map>(s.x.rounded, s.x.reals());
    }
    stage_x_values(p, s, x, 0);
    if constexpr (!OfKeys) {
      stage_numbers<kThreads>(s.weights, p.weights, x.batch, x.head, x.begin, x.count);
    }
  }
  static LINATTN_DEVICE void stage_x_values(Params const& p, Shared& s, x_tile const& x, int column) {
    stage_values<kThreads, real>(s.x_values, p.x_values.row(x.batch, x.head, x.begin), p.x_values.time_stride,
                                 p.x_values.vectors, x.count, column, p.shape.value_dim);
  }

  /// d = x_values B^T over all values; stage(column) fills y_values. Columns beyond the first tile are staged for x
  /// too.
  template <class Stage>
  static LINATTN_DEVICE void multiply_all_values(real (&d)[8][4], Params const& p, Shared& s, x_tile const& x,
                                                 Stage&& stage) {
    bool const one_tile = p.shape.value_dim <= value_tile;
    int column = 0;
    LINATTN_SIMT_NO_UNROLL
    do {
      simt::block_sync();  // what is staged now has been read
      stage(column);
      if (!one_tile) {
        stage_x_values(p, s, x, column);
      }
      simt::block_sync();
      if (x.has_rows_of_warp()) {
        multiply_by_rows<Operand>(d, s.x_values, s.y_values);
      }
      column += value_tile;
    } while (column < p.shape.value_dim);
  }

  /// `distance`: from the step's first y to the block's first x.
  static LINATTN_DEVICE void add_pairs(accumulators& sums, Params const& p, Shared& s, x_tile const& x, int y_head,
                                       std::int64_t begin, int count, int distance) {
    real d[8][4] = {};
    multiply_all_values(d, p, s, x, [&](int column) {
      if (column == 0) {
        stage_prepared_rows<kThreads>(s.y, p.y.row(x.batch, y_head, begin), p.y.time_stride, count);
        simt::copy_async_commit();
        if constexpr (OfKeys) {
          stage_numbers<kThreads>(s.weights, p.weights, x.batch, y_head, begin, count);
        }
      }
      stage_values<kThreads, real>(s.y_values, p.y_values.row(x.batch, y_head, begin), p.y_values.time_stride,
                                   p.y_values.vectors, count, column, p.shape.value_dim);
      simt::copy_async_wait<0>();
    });
    if (!x.has_rows_of_warp()) {
      return;
    }
    weigh(d, p, s, count, distance);
    multiply_weights<Operand>(sums.grads, d, s.y);
  }

  /// d = (d + c) score'(x . y) where the query sees the key, else zero.
  static LINATTN_DEVICE void weigh(real (&d)[8][4], Params const& p, Shared const& s, int count, int distance) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    real scores[8][4] = {};
    multiply_by_rows<Operand>(scores, s.x.rounded, s.y);
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 32; ++i) {
      int const e = i % 4;
      int const row = simt::warp() * 16 + e / 2 * 8 + g;
      int const column = i / 4 * 8 + 2 * t + e % 2;
      bool const sees = OfKeys ? column >= distance + row : column <= distance + row;
      real& grad = d[i / 4][e];
      grad += s.weights[OfKeys ? column : row];
      grad = column < count && sees ? grad * p.map.score_grad(scores[i / 4][e]) : real(0);
    }
  }

  /// s.grads.sums = the gradient through the state.
  static LINATTN_DEVICE void add_state(Params const& p, Shared& s, x_tile const& x,
                                       device_slot<real const> const& from) {
    real* const sums = &s.grads.sums[0][0];
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < static_cast<int>(sizeof(s.grads.sums) / sizeof(real));
         i += kThreads) {
      sums[i] = real(0);
    }
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_NO_UNROLL
    for (int tile = 0; tile < feature_grads::tiles; ++tile) {
      s.places.template find<feature_grads>(tile * feature_grad_tile,
                                            real(1));  // the barrier that follows is for it too
      real d[8][4] = {};
      multiply_all_values(d, p, s, x, [&](int column) {
        stage_state_rows<kThreads, value_tile, Operand>(s.y_values, from, s.places, column, p.shape.value_dim);
        if (column == 0) {
          stage_k_sum(s, from);
        }
      });
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 32; ++i) {
        int const e = i % 4;
        real const weight = OfKeys ? real(1) : s.weights[simt::warp() * 16 + e / 2 * 8 + g];
        d[i / 4][e] += weight * s.k_sum[i / 4 * 8 + 2 * t + e % 2];
      }
      feature_grads::add(s.grads, s.x, p.map, d, tile);
    }
  }
  static LINATTN_DEVICE void stage_k_sum(Shared& s, device_slot<real const> const& from) {
    int const n = static_cast<int>(simt::thread_idx().x);
    if (n < feature_grad_tile) {
      int const index = s.places.index[n];
      bool const there = index >= 0 && from.k_sum != nullptr;
      s.k_sum[n] = there ? simt::load(from.k_sum + index * from.k_sum_stride) * s.places.factor[n] : real(0);
    }
  }

  static LINATTN_DEVICE void write(Params const& p, Shared& s, accumulators const& sums, x_tile const& x,
                                   bool with_state) {
    simt::block_sync();  // the sums are there
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      int const row = simt::warp() * 16 + half * 8 + simt::lane() / 4;
      if (row >= x.count) {
        continue;
      }
      real* const to = p.grads.row(x.batch, x.head, x.begin + row);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < padded_dim / 4; ++i) {
        int const dim = i / 2 * 8 + 2 * t + i % 2;
        if (dim < Map::head_dim) {
          real const through_state = with_state ? s.grads.sums[row][dim] : real(0);
          simt::store(to + dim, sums.grads[i / 2][2 * half + i % 2] + through_state);
        }
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
