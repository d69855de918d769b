// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Outputs of a tile of queries: the part that a state holds, then the pairs with keys, weighed and summed without ever
// being stored; normalised and rounded once. The parallel form is this kernel with one piece a sequence; the chunkwise
// form in phases is this kernel behind states_kernel and scan_kernel. The gradient of the values is its mirror image:
// "queries" are keys, "keys" are the queries after them, of all heads that read the key head, and their values are G.
#ifndef LINATTN_CUDA_KERNEL_OUTPUTS_HPP
#define LINATTN_CUDA_KERNEL_OUTPUTS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/products.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Prepared: q and k hold rows that prepare_kernel wrote, in the operand format. Mirrored: q holds the keys' rows, k
/// the queries', v their G (kernel_scaled_grads.hpp), and out is the gradient of the values.
template <class Map, class Norm, class Element, class Operand, bool Prepared, bool Mirrored = false>
struct outputs_kernel {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using operand_element = typename Operand::element;
  using row_element = std::conditional_t<Prepared, operand_element, Element>;
  using value_element = std::conditional_t<Mirrored, operand_element, Element>;
  using features = features_of<Map, Operand>;
  static constexpr char const* name = "launching outputs_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 2;
  static constexpr int tokens = 64;  // queries of a block, 16 a warp; keys of a step
  static constexpr int value_tile = 64;
  static constexpr int feature_tile = 64;
  static constexpr int padded_dim = round_up_to(Map::head_dim, 16);

  struct Params {
    Map map;
    Norm normalizer;
    device_shape shape;
    device_rows<row_element const> q;
    device_rows<row_element const> k;
    device_rows<value_element const> v;
    device_rows<Element> out;
    device_rows<real> denominator;     // data may be null
    device_states<real const> states;  // what went before each piece, or absent
    std::int64_t piece_tokens;         // a multiple of `tokens`, or at least the longest sequence
    bool state_a_sequence;             // states are numbered by sequence, not by piece
    pairs_with pairs;
    int value_tiles;
    std::int64_t first_item;
  };
  struct key_tiles {
    shared_tile<operand_element, tokens, padded_dim> k;
    shared_tile<operand_element, tokens, value_tile> v;
  };
  struct state_tiles {
    shared_tile<operand_element, tokens, feature_tile> phi;
    shared_tile<operand_element, feature_tile, value_tile + 16> kv;  // column value_tile: k_sum
  };
  struct Shared {
    feature_rows<Map, Operand, tokens, features::exact_rows> q;
    union {
      key_tiles keys;
      state_tiles states;
    };
  };

  static std::int64_t items(Params const& p) { return p.shape.pieces(tokens) * heads_of(p) * p.value_tiles; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const column = item.digit(p.value_tiles) * value_tile;
    int const head = item.digit(heads_of(p));
    device_piece const tile = p.shape.piece(item.rest(), tokens);
    if (tile.begin >= tile.end) {
      return;  // all of the block
    }
    device_sequence const& sequence = tile.sequence;
    std::int64_t const piece = p.pairs == pairs_with::nothing ? 0 : (tile.begin - sequence.begin) / p.piece_tokens;
    int const kv_head = Mirrored ? head : p.shape.kv_head_of(head);

    stage_queries(p, s, sequence.batch, head, tile.begin, tile.size());
    accumulators sums{};
    if (p.states.present()) {
      std::int64_t const unit =
          p.state_a_sequence ? sequence.index : p.shape.first_piece(sequence.index, p.piece_tokens) + piece;
      add_state(sums, p, s, p.states.at(unit, kv_head), column, tile.size(),
                state_scale<Operand>(sequence.end - sequence.begin));
    }
    bool const causal = p.pairs == pairs_with::piece_up_to_query;
    token_span const keys = partners<Mirrored>(tile, p.pairs, piece, p.piece_tokens);
    int const members = Mirrored ? p.shape.group() : 1;
    LINATTN_SIMT_NO_UNROLL
    for (int member = 0; member < members; ++member) {
      int const key_head = Mirrored ? p.shape.query_head(head, member) : kv_head;
      LINATTN_SIMT_NO_UNROLL
      for (std::int64_t begin = keys.begin; begin < keys.end; begin += tokens) {
        int const count = keys.end - begin < tokens ? static_cast<int>(keys.end - begin) : tokens;
        simt::block_sync();  // the tiles of the last step have been read
        stage_keys(p, s, sequence.batch, key_head, begin, count, column);
        simt::block_sync();
        if (simt::warp() * 16 < tile.size()) {
          add_pairs(sums, p, s, count, causal ? static_cast<int>(tile.begin - begin) : (Mirrored ? -tokens : tokens));
        }
      }
    }
    write(p, sums, sequence.batch, head, tile, column);
  }

 private:
  static LINATTN_HOST_DEVICE int heads_of(Params const& p) { return Mirrored ? p.shape.kv_heads : p.shape.heads; }

  /// Of this warp's 16 queries: row g (c[2], c[3]: g + 8), values 8 n + 2 t, + 1. The denominators are this lane's
  /// share.
  struct accumulators {
    real out[8][4];
    real den[2];
  };

  static LINATTN_DEVICE void stage_queries(Params const& p, Shared& s, std::int64_t batch, int head, std::int64_t begin,
                                           int count) {
    row_element const* const rows = p.q.row(batch, head, begin);
    if constexpr (Prepared) {
      stage_prepared_rows<kThreads>(s.q.rounded, rows, p.q.time_stride, count);
      simt::copy_async_commit();
      simt::copy_async_wait<0>();
      if constexpr (features::exact_rows) {
        simt::block_sync();
        widen_rows<kThreads, Map>(s.q);
      }
    } else {
      stage_rows<kThreads>(s.q.rounded, s.q.reals(), p.map, role::query, head, rows, p.q.time_stride, p.q.vectors,
                           count);
    }
  }

  static LINATTN_DEVICE void stage_keys(Params const& p, Shared& s, std::int64_t batch, int kv_head, std::int64_t begin,
                                        int count, int column) {
    row_element const* const rows = p.k.row(batch, kv_head, begin);
    if constexpr (Prepared) {
      stage_prepared_rows<kThreads>(s.keys.k, rows, p.k.time_stride, count);
      simt::copy_async_commit();
    } else {
      stage_rows<kThreads>(s.keys.k, static_cast<real*>(nullptr), p.map, role::key, kv_head, rows, p.k.time_stride,
                           p.k.vectors, count);
    }
    stage_values<kThreads, real>(s.keys.v, p.v.row(batch, kv_head, begin), p.v.time_stride, p.v.vectors, count, column,
                                 p.shape.value_dim);
    if constexpr (Prepared) {
      simt::copy_async_wait<0>();
    }
  }

  /// out += phi(Q) S, den += phi(Q) z, a stretch of features after the other.
  static LINATTN_DEVICE void add_state(accumulators& sums, Params const& p, Shared& s,
                                       device_slot<real const> const& from, int column, int count, real scale) {
    real den[4] = {};
    LINATTN_SIMT_NO_UNROLL
    for (int first = 0; first < features::count; first += feature_tile) {
      simt::block_sync();
      features::template fill<kThreads>(s.states.phi, s.q, p.map, first, count, role::query);
      stage_state<kThreads, features, value_tile>(s.states.kv, from, first, column, p.shape.value_dim, scale);
      simt::block_sync();
      LINATTN_SIMT_UNROLL
      for (int f = 0; f < feature_tile; f += 16) {
        word phi[4];
        load_a<Operand>(phi, s.states.phi, simt::warp() * 16, f);
        word b[4];
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < 8; n += 2) {
          load_b<Operand>(b, s.states.kv, f, 8 * n);
          Operand::mma(sums.out[n], phi, b[0], b[1]);
          Operand::mma(sums.out[n + 1], phi, b[2], b[3]);
        }
        load_b<Operand>(b, s.states.kv, f, value_tile);
        Operand::mma(den, phi, b[0], b[1]);
      }
    }
    real const unscale = real(1) / scale;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 32; ++i) {
      sums.out[i / 4][i % 4] *= unscale;
    }
    sums.den[0] += den[0] * unscale;  // column 0 of the product is a lane's with t == 0; the others hold zeros
    sums.den[1] += den[2] * unscale;
  }

  /// The keys of a step: scores, weights (zero beyond `count` and, causally, after the query), their sums, and
  /// out += weights V. `distance`: from the step's first key to the block's first query.
  static LINATTN_DEVICE void add_pairs(accumulators& sums, Params const& p, Shared const& s, int count, int distance) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    real scores[8][4] = {};
    multiply_by_rows<Operand>(scores, s.q.rounded, s.keys.k);
    int const last[2] = {distance + simt::warp() * 16 + g, distance + simt::warp() * 16 + g + 8};
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 32; ++i) {
      int const e = i % 4;
      int const key = i / 4 * 8 + 2 * t + e % 2;
      real& w = scores[i / 4][e];
      bool const sees = Mirrored ? key >= last[e / 2] : key <= last[e / 2];
      w = key < count && sees ? p.map.score(w) : real(0);
      sums.den[e / 2] += w;
    }
    multiply_weights<Operand>(sums.out, scores, s.keys.v);
  }

  static LINATTN_DEVICE void write(Params const& p, accumulators& sums, std::int64_t batch, int head,
                                   device_piece const& tile, int column) {
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      real den = sums.den[half];
      den += simt::shuffle_xor(den, 1);
      den += simt::shuffle_xor(den, 2);
      int const row = simt::warp() * 16 + half * 8 + simt::lane() / 4;
      if (row >= tile.size()) {
        continue;
      }
      if (p.denominator.data != nullptr && column == 0 && t == 0) {
        simt::store(p.denominator.row(batch, head, tile.begin + row), den);
      }
      real scale = real(1);
      if constexpr (Norm::needs_denominator) {
        scale = p.normalizer.scale(den);
      }
      Element* const to = p.out.row(batch, head, tile.begin + row);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 16; ++i) {
        int const value = column + i / 2 * 8 + 2 * t + i % 2;
        if (value < p.shape.value_dim) {
          simt::store(to + value, to_element<Element>(sums.out[i / 2][2 * half + i % 2] * scale));
        }
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
