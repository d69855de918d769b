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
#include <linattn/cuda/tile/staged_pairs.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// How many queries a block takes, and how many tiles of keys it holds: two, so that one is on its way while the other
/// is worked on, and twice 16 queries a warp, which share what they load of keys; as far as shared memory allows.
/// HookBytes: of a query, where a map's hooks make its features.
template <class Operand, int RowBytes, int StageBytes, int HookBytes>
struct outputs_tiles {
  static constexpr int most = 99 * 1024;
  static constexpr int of_state = 12 * 1024;  // of 16-bit numbers
  static constexpr bool narrow = sizeof(typename Operand::element) == 2;
  static constexpr int row_blocks = narrow && 128 * RowBytes + 2 * StageBytes <= most &&
                                            (HookBytes == 0 || 128 * (RowBytes + HookBytes) + of_state <= most)
                                        ? 2
                                        : 1;
  static constexpr int stages = 64 * row_blocks * RowBytes + 2 * StageBytes <= most ? 2 : 1;
};

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
  static constexpr int kMinBlocks = Prepared && sizeof(operand_element) == 2 && Map::head_dim <= 64 ? 3 : 2;
  static constexpr int tokens = 64;  // keys of a step
  static constexpr int value_tile = 64;
  static constexpr int feature_tile = 64;
  static constexpr int padded_dim = round_up_to(Map::head_dim, 16);
  using pairs_tile = staged_pairs<Map, row_element, value_element, Operand, Prepared, kThreads, value_tile>;
  static constexpr int hook_bytes = features::exact_rows
                                        ? static_cast<int>(sizeof(shared_tile<operand_element, 1, feature_tile>) +
                                                           sizeof(real) * static_cast<std::size_t>(Map::head_dim))
                                        : 0;
  using tiles =
      outputs_tiles<Operand, sizeof(shared_tile<operand_element, 1, padded_dim>), sizeof(pairs_tile), hook_bytes>;
  static constexpr int row_blocks = tiles::row_blocks;  // of 16 queries, a warp
  static constexpr int stages = tiles::stages;
  static constexpr int queries = 64 * row_blocks;  // of a block
  static constexpr bool keeps_queries = sizeof(operand_element) == 2 && padded_dim <= 64;

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
  struct state_tiles {
    feature_tiles<Map, Operand, queries, feature_tile, features::exact_rows> rows;
    shared_tile<operand_element, feature_tile, value_tile + 16> kv;  // column value_tile: k_sum
    state_places<real, feature_tile> places[2];
  };
  /// What a block does, in shared memory: registers are few.
  struct block_task {
    std::int64_t batch;
    std::int64_t begin;  // of the queries
    std::int64_t keys_begin;
    int head;
    int key_head;   // the first of those whose keys count
    int head_step;  // from each of them to the next
    int size;
    int keys;
    int column;
  };
  struct Shared {
    block_task task;
    shared_tile<operand_element, queries, padded_dim> q;
    union {
      pairs_tile keys[std::size_t{stages}];
      state_tiles states;
    };
  };

  static std::int64_t items(Params const& p) { return p.shape.pieces(tile_of(p)) * heads_of(p) * p.value_tiles; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const column = item.digit(p.value_tiles) * value_tile;
    int const head = item.digit(heads_of(p));
    // The late queries of a causal sequence have the most keys: they begin first.
    std::int64_t const n = Mirrored ? item.rest() : p.shape.pieces(tile_of(p)) - 1 - item.rest();
    device_piece const tile = p.shape.piece(n, tile_of(p));
    if (tile.begin >= tile.end) {
      return;  // all of the block
    }
    device_sequence const& sequence = tile.sequence;
    std::int64_t const piece = p.pairs == pairs_with::nothing ? 0 : (tile.begin - sequence.begin) / p.piece_tokens;

    token_span const keys = partners<Mirrored>(tile, p.pairs, piece, p.piece_tokens);
    int const key_head = Mirrored ? p.shape.query_head(head, 0) : p.shape.kv_head_of(head);
    if (simt::thread_idx().x == 0) {
      s.task = {sequence.batch, tile.begin,
                keys.begin,     head,
                key_head,       Mirrored ? p.shape.query_head(head, 1) - key_head : 0,
                tile.size(),    static_cast<int>(keys.end - keys.begin),
                column};
    }
    stage_queries(p, s, sequence.batch, head, tile.begin, tile.size());
    accumulators sums{};
    if (p.states.present()) {
      std::int64_t const unit =
          p.state_a_sequence ? sequence.index : p.shape.first_piece(sequence.index, p.piece_tokens) + piece;
      add_state(sums, p, s, p.states.at(unit, Mirrored ? head : key_head), column, tile.size(),
                state_scale<Operand>(sequence.end - sequence.begin));
    }
    simt::block_sync();
    add_keys(sums, p, s);
    write(p, sums, s.task);
  }

 private:
  static LINATTN_HOST_DEVICE int heads_of(Params const& p) { return Mirrored ? p.shape.kv_heads : p.shape.heads; }
  /// Queries of a block: all in one piece.
  static LINATTN_HOST_DEVICE int tile_of(Params const& p) { return p.piece_tokens % queries == 0 ? queries : 64; }

  /// Of this warp's blocks of 16 queries: row g (c[2], c[3]: g + 8), values 8 n + 2 t, + 1. The denominators are this
  /// lane's share.
  struct accumulators {
    real out[std::size_t{row_blocks}][8][4];
    real den[std::size_t{row_blocks}][2];
  };
  /// This warp's queries as A.
  struct query_rows {
    word a[std::size_t{row_blocks}][std::size_t{keeps_queries ? padded_dim / 16 : 1}][4];
  };
  static LINATTN_DEVICE int first_row() { return simt::warp() * 16 * row_blocks; }

  static LINATTN_DEVICE void stage_queries(Params const& p, Shared& s, std::int64_t batch, int head, std::int64_t begin,
                                           int count) {
    row_element const* const rows = p.q.row(batch, head, begin);
    if constexpr (Prepared) {
      stage_prepared_rows<kThreads>(s.q, rows, p.q.time_stride, count);
      simt::copy_async_commit();
    } else {
      stage_rows<kThreads>(s.q, p.states.present() ? s.states.rows.reals() : nullptr, p.map, role::query, head, rows,
                           p.q.time_stride, p.q.vectors, count);
    }
  }

  /// out += phi(Q) S, den += phi(Q) z, a stretch of features after the other.
  static LINATTN_DEVICE void add_state(accumulators& sums, Params const& p, Shared& s,
                                       device_slot<real const> const& from, int column, int count, real scale) {
    simt::copy_async_wait<0>();
    if constexpr (Prepared && features::exact_rows) {
      simt::block_sync();
      widen_rows<kThreads, Map>(s.q, s.states.rows.reals());
    }
    real den[std::size_t{row_blocks}][4] = {};
    s.states.places[0].template find<features>(0, scale);
    simt::block_sync();
    LINATTN_SIMT_NO_UNROLL
    for (int first = 0; first < features::count; first += feature_tile) {
      int const turn = first / feature_tile % 2;
      features const made(first);
      features::template fill<kThreads>(s.states.rows, p.map, first, count);
      stage_state_rows<kThreads, value_tile, Operand>(s.states.kv, from, s.states.places[turn], column,
                                                      p.shape.value_dim);
      s.states.places[1 - turn].template find<features>(first + feature_tile, scale);
      simt::block_sync();
      LINATTN_SIMT_UNROLL
      for (int f = 0; f < feature_tile; f += 16) {
        word phi[std::size_t{row_blocks}][4];
        auto const own = made.at(f);
        LINATTN_SIMT_UNROLL
        for (int b = 0; b < row_blocks; ++b) {
          own.load_rows(phi[b], s.q, s.states.rows, first_row() + 16 * b);
        }
        multiply_blocks<Operand>(sums.out, phi, s.states.kv, f);
        word ones[4];
        load_b<Operand>(ones, s.states.kv, f, value_tile);
        LINATTN_SIMT_UNROLL
        for (int b = 0; b < row_blocks; ++b) {
          Operand::mma(den[b], phi[b], ones[0], ones[1]);
        }
      }
      simt::block_sync();  // the tiles have been read
    }
    real const unscale = real(1) / scale;
    LINATTN_SIMT_UNROLL
    for (int b = 0; b < row_blocks; ++b) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 32; ++i) {
        sums.out[b][i / 4][i % 4] *= unscale;
      }
      sums.den[b][0] += den[b][0] * unscale;  // column 0 of the product is a lane's with t == 0; the others hold zeros
      sums.den[b][1] += den[b][2] * unscale;
    }
  }

  /// All pairs with the keys of a span, `tokens` at a time; the next ones are on their way meanwhile.
  static LINATTN_DEVICE void add_keys(accumulators& sums, Params const& p, Shared& s) {
    int const members = Mirrored ? p.shape.group() : 1;
    auto const head_of = [&](int member) { return s.task.key_head + member * s.task.head_step; };
    query_rows rows{};
    stage_in_turn(
        s.keys, s.task.keys, members,
        [&](pairs_tile& to, int member, int first, int count) {
          std::int64_t const begin = s.task.keys_begin + first;
          int const from = head_of(member);
          to.start_rows(p.k.row(s.task.batch, from, begin), p.k.time_stride, p.k.vectors, count);
          to.start_values(p.v.row(s.task.batch, from, begin), p.v.time_stride, p.v.vectors, count, s.task.column,
                          p.shape.value_dim);
        },
        [&](pairs_tile& to, int member, int, int count) {
          to.finish_rows(p.map, role::key, head_of(member), count, nullptr);
          to.finish_values();
        },
        [&] { load_queries(rows, s); },
        [&](pairs_tile const& from, int, int first, int count) {
          add_step(sums, p, s, rows, from, static_cast<int>(s.task.begin - s.task.keys_begin) - first, count);
        });
  }

  static LINATTN_DEVICE void load_queries(query_rows& rows, Shared const& s) {
    if constexpr (keeps_queries) {
      LINATTN_SIMT_UNROLL
      for (int b = 0; b < row_blocks; ++b) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < padded_dim / 16; ++i) {
          load_a<Operand>(rows.a[b][i], s.q, first_row() + 16 * b, 16 * i);
        }
      }
    }
  }

  /// One tile of keys. Only where a causal diagonal or the end of the keys crosses it, pairs are asked one by one.
  /// `ahead`: from the first key to the block's first query.
  static LINATTN_DEVICE void add_step(accumulators& sums, Params const& p, Shared const& s, query_rows const& rows,
                                      pairs_tile const& keys, int ahead, int count) {
    if (first_row() >= s.task.size) {
      return;  // all of the warp
    }
    bool const causal = p.pairs == pairs_with::piece_up_to_query;
    // To the warp's first query; where all see all, as far as it takes.
    int const distance = causal ? ahead + first_row() : (Mirrored ? -queries : tokens);
    constexpr int last_row = 16 * row_blocks - 1;
    if (Mirrored ? distance >= tokens : distance + last_row < 0) {
      return;
    }
    if (count == tokens && (Mirrored ? distance + last_row <= 0 : distance >= tokens - 1)) {
      add_pairs<false>(sums, p, s, rows, keys, count, distance);
    } else {
      add_pairs<true>(sums, p, s, rows, keys, count, distance);
    }
  }

  /// Scores, weights (zero beyond `count` and, causally, after the query), their sums, and out += weights V.
  template <bool Masked>
  static LINATTN_DEVICE void add_pairs(accumulators& sums, Params const& p, Shared const& s, query_rows const& rows,
                                       pairs_tile const& keys, int count, int distance) {
    constexpr int width = 16;  // of keys at once: more would fill the registers
    LINATTN_SIMT_NO_UNROLL
    for (int first = 0; first < tokens; first += width) {
      real scores[std::size_t{row_blocks}][width / 8][4] = {};
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < padded_dim; i += 16) {
        word a[std::size_t{row_blocks}][4];
        LINATTN_SIMT_UNROLL
        for (int b = 0; b < row_blocks; ++b) {
          if constexpr (keeps_queries) {
            LINATTN_SIMT_UNROLL
            for (int e = 0; e < 4; ++e) {
              a[b][e] = rows.a[b][i / 16][e];
            }
          } else {
            load_a<Operand>(a[b], s.q, first_row() + 16 * b, i);
          }
        }
        multiply_block_rows<Operand>(scores, a, keys.k, first, i);
      }
      weigh<Masked>(sums, p, scores, first, count, distance);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < width / 8; n += 2) {
        word weights[std::size_t{row_blocks}][4];
        LINATTN_SIMT_UNROLL
        for (int b = 0; b < row_blocks; ++b) {
          LINATTN_SIMT_UNROLL
          for (int e = 0; e < 4; ++e) {
            real const* const w = scores[b][n + e / 2] + e % 2 * 2;
            weights[b][e] = Operand::pack(w[0], w[1]);
          }
        }
        multiply_blocks<Operand>(sums.out, weights, keys.v, first + 8 * n);
      }
    }
  }

  template <bool Masked, std::size_t N>
  static LINATTN_DEVICE void weigh(accumulators& sums, Params const& p, real (&scores)[std::size_t{row_blocks}][N][4],
                                   int first, int count, int distance) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int b = 0; b < row_blocks; ++b) {
      int const last[2] = {distance + 16 * b + g, distance + 16 * b + g + 8};
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < static_cast<int>(4 * N); ++i) {
        int const e = i % 4;
        real& w = scores[b][i / 4][e];
        w = p.map.score(w);
        if constexpr (Masked) {
          int const key = first + i / 4 * 8 + 2 * t + e % 2;
          bool const sees = Mirrored ? key >= last[e / 2] : key <= last[e / 2];
          w = key < count && sees ? w : real(0);
        }
        sums.den[b][e / 2] += w;
      }
    }
  }

  static LINATTN_DEVICE void write(Params const& p, accumulators& sums, block_task const& task) {
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2 * row_blocks; ++half) {
      real den = sums.den[half / 2][half % 2];
      den += simt::shuffle_xor(den, 1);
      den += simt::shuffle_xor(den, 2);
      int const row = first_row() + half * 8 + simt::lane() / 4;
      if (row >= task.size) {
        continue;
      }
      if (p.denominator.data != nullptr && task.column == 0 && t == 0) {
        simt::store(p.denominator.row(task.batch, task.head, task.begin + row), den);
      }
      real scale = real(1);
      if constexpr (Norm::needs_denominator) {
        scale = p.normalizer.scale(den);
      }
      Element* const to = p.out.row(task.batch, task.head, task.begin + row);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 8; ++n) {
        real const* const pair = sums.out[half / 2][n] + half % 2 * 2;
        write_pair(to, task.column + 8 * n + 2 * t, p.shape.value_dim, p.out.vectors, pair[0] * scale, pair[1] * scale);
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
