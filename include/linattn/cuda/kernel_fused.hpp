// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The chunkwise form in one pass, for polynomial maps whose features one warp can hold: head_dim up to 16, or up to 32
// without pairs. The state never leaves the registers: it lives in the accumulators of V^T phi(K), in rotation octets,
// and packed to operands these are B of phi(Q) S. Two teams of warps take a chunk of 64 tokens at the same time: one
// copies and prepares the rows of the next chunk, adds the chunk's keys to the state, and leaves that, packed, in
// shared memory; the other takes the chunk's queries through the state before the chunk and to the chunk's own keys. A
// warp owns 16 value columns. Lane 4 g + t holds, of 16 dims,
//   q[2 b + i], k[2 i + b]  token 8 i + g, dims 8 b + 2 t, + 1             A and B of Q K^T; q also A of Q Z
//   kt[2 i + b]             dim 8 b + g, tokens 8 i + 2 t, + 1             A, B of K^T K; octets: B of V^T phi(K)
//   v[2 i + b]              value 8 b + g, tokens 8 i + 2 t, + 1           A of V^T phi(K), B of P V
//   out[n][e]               token 8 (e / 2) + g, value 8 n + 2 t + e % 2
#ifndef LINATTN_CUDA_KERNEL_FUSED_HPP
#define LINATTN_CUDA_KERNEL_FUSED_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/math.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/chunk.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/packed_state.hpp>
#include <linattn/cuda/tile/register_state.hpp>
#include <linattn/cuda/tile/step_outputs.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

enum class fused_work : std::uint8_t {
  outputs,    // causal: queries through the state, then to their own chunk's keys, which join the state
  sums,       // only the sums of a piece, from zero; items are key heads
  state_only  // not causal: the state that is given holds the whole sequence
};

/// Whether the fused form serves a map.
template <class Map>
concept FusedMap = PolynomialMap<Map> && Map::head_dim <= 32 && !Map::all_heads;

template <class Map, class Norm, class Element, class Real>
struct fused_params {
  Map map;
  Norm normalizer;
  device_shape shape;
  device_rows<Element const> q;
  device_rows<Element const> k;
  device_rows<Element const> v;
  device_rows<Element> out;
  device_rows<Real> denominator;     // data may be null
  device_states<Real const> before;  // what went before, or absent
  device_states<Real> after;         // or absent
  bool all_pieces;                   // of sums; or nobody asks for those of a sequence's last piece
  std::int64_t piece_tokens;
  bool before_a_sequence;  // those states are numbered by sequence, not by piece
  bool after_a_sequence;
  int value_tiles;
  std::int64_t first_item;
};

/// What a block of a fused kernel works on: a tile of values, a head and a piece.
template <fused_work Work, class Params>
struct fused_item {
  int column;
  int head;
  int kv_head;
  device_piece piece;

  static LINATTN_HOST_DEVICE int heads(Params const& p) {
    return Work == fused_work::sums ? p.shape.kv_heads : p.shape.heads;
  }
  static std::int64_t count(Params const& p) { return p.shape.pieces(p.piece_tokens) * heads(p) * p.value_tiles; }

  LINATTN_DEVICE fused_item(Params const& p, int value_tile) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    column = item.digit(p.value_tiles) * value_tile;
    head = item.digit(heads(p));
    piece = p.shape.piece(item.rest(), p.piece_tokens);
    kv_head = Work == fused_work::sums ? head : p.shape.kv_head_of(head);
  }

  [[nodiscard]] LINATTN_DEVICE bool unused(Params const& p) const {
    return piece.unused() || (Work == fused_work::sums && !p.all_pieces && piece.last());
  }
  /// The state before the piece; p.before is present.
  [[nodiscard]] LINATTN_DEVICE auto before(Params const& p) const {
    std::int64_t const unit = p.before_a_sequence ? piece.sequence.index
                              : Work == fused_work::state_only
                                  ? p.shape.first_piece(piece.sequence.index, p.piece_tokens)
                                  : piece.unit;
    return p.before.at(unit, kv_head);
  }
  /// Whether the state after the piece is this block's to write; the heads that share a key head have the same.
  [[nodiscard]] LINATTN_DEVICE bool writes_after(Params const& p) const {
    return p.after.present() && (Work == fused_work::sums || head == p.shape.query_head(kv_head, 0));
  }
  [[nodiscard]] LINATTN_DEVICE auto after(Params const& p) const {
    return p.after.at(p.after_a_sequence ? piece.sequence.index : piece.unit, kv_head);
  }
};

template <class Map, class Norm, class Element, class Operand, class Work>
struct fused_kernel {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using state_type = register_state<Map, Operand>;
  using packed_type = packed_state<Map, Operand>;
  static constexpr fused_work work = Work::value;
  static constexpr bool updates = work != fused_work::state_only;
  static constexpr bool outputs = work != fused_work::sums;
  static constexpr int value_warps = sizeof(word) == 4 ? 4 : (sizeof(word) == 8 ? 2 : 1);
  static constexpr int value_tile = 16 * value_warps;
  static constexpr int team = 32 * value_warps;  // threads: first those of the keys, then those of the queries
  static constexpr char const* name = "launching fused_kernel";
  static constexpr int kThreads = outputs ? 2 * team : team;
  // 128 registers hold 18 octets, those of 16 dims without linear ones.
  static constexpr int kMinBlocks = sizeof(word) == 4 && state_type::octets <= 18 ? 2 : 1;
  using chunk_type = staged_chunk<Map, Element, Operand, team, value_tile, outputs, updates>;
  static constexpr int chunk = chunk_type::tokens;
  static constexpr int step = 16;
  static constexpr int halves = state_type::halves;

  using Params = fused_params<Map, Norm, Element, real>;
  using item_type = fused_item<work, Params>;
  using place_type = output_place<Element, real>;
  static constexpr bool keeps_state = sizeof(word) == 4;  // a query warp, for a chunk; wide words fill its registers
  struct stages_type {
    chunk_type stages[2];
  };
  struct with_states : stages_type {
    typename packed_type::memory states[std::size_t{updates ? 2 : 1}][std::size_t{value_warps}];
    real counts[2];  // the keys in them
  };
  using Shared = std::conditional_t<outputs, with_states, stages_type>;

  static std::int64_t items(Params const& p) { return item_type::count(p); }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    item_type const item(p, value_tile);
    if (item.unused(p)) {
      return;  // all of the block
    }
    if (simt::warp() < value_warps) {
      take_keys(p, s, item);
    } else {
      take_queries(p, s, item);
    }
  }

 private:
  static LINATTN_DEVICE int thread() { return static_cast<int>(simt::thread_idx().x) % team; }
  static LINATTN_DEVICE int value_warp() { return simt::warp() % value_warps; }
  static LINATTN_DEVICE real scale_of(item_type const& item) {
    return state_scale<Operand>(item.piece.sequence.end - item.piece.sequence.begin);
  }
  static LINATTN_DEVICE int count_of(item_type const& item, std::int64_t begin) {
    return item.piece.end - begin < chunk ? static_cast<int>(item.piece.end - begin) : chunk;
  }

  /// A chunk is there, with the state before it; both teams have done with the chunk before, whose stage is free.
  static LINATTN_DEVICE void meet() { simt::named_sync(1, kThreads); }

  /// The rows of a chunk are the query team's to bring, the values the key team's; of sums, all are the latter's.
  /// finish waits for what start has begun. Addresses are computed anew: beside a state there is no room to keep them.
  template <bool Rows, bool Values>
  static LINATTN_DEVICE void start(chunk_type& to, chunk_source<Element> const& from, std::int64_t begin, int count) {
    int const own = simt::anew(thread(), &to);
    if constexpr (Rows) {
      to.start_rows(own, from, begin, count);
    }
    if constexpr (Values) {
      to.start_values(own, from, begin, count);
    }
    simt::copy_async_commit();
  }
  template <bool Rows, bool Values>
  static LINATTN_DEVICE void finish(chunk_type& to, Map const& map, chunk_source<Element> const& from, int count) {
    int const own = simt::anew(thread(), &to);
    simt::copy_async_wait<0>();
    if constexpr (Rows) {
      to.finish_rows(own, map, from, count);
    }
    if constexpr (Values) {
      to.finish_values(own);
    }
  }

  /// work(stage, begin, count) for each chunk, while this team brings its part of the next one.
  template <bool Rows, bool Values, class F>
  static LINATTN_DEVICE void sweep(Params const& p, Shared& s, item_type const& item, F&& work_on) {
    chunk_source<Element> const source{p.q,       p.k,          p.v,         item.piece.sequence.batch,
                                       item.head, item.kv_head, item.column, p.shape.value_dim};
    std::int64_t begin = item.piece.begin;
    if (begin < item.piece.end) {
      start<Rows, Values>(s.stages[0], source, begin, count_of(item, begin));
      finish<Rows, Values>(s.stages[0], p.map, source, count_of(item, begin));
    }
    int stage = 0;
    LINATTN_SIMT_NO_UNROLL
    for (; begin < item.piece.end; begin += chunk, stage ^= 1) {
      meet();
      std::int64_t const next = begin + chunk;
      if (next < item.piece.end) {
        start<Rows, Values>(s.stages[stage ^ 1], source, next, count_of(item, next));
      }
      work_on(stage, begin, count_of(item, begin));
      if (next < item.piece.end) {
        finish<Rows, Values>(s.stages[stage ^ 1], p.map, source, count_of(item, next));
      }
    }
    if constexpr (updates) {
      meet();  // in place, all warps have read the sums that one of them replaces
    }
  }

  static LINATTN_DEVICE void take_keys(Params const& p, Shared& s, item_type const& item) {
    int const warp_column = item.column + value_warp() * 16;
    state_type state{};
    state.scale = scale_of(item);
    if (p.before.present()) {
      state.load(item.before(p), warp_column, p.shape.value_dim);
    }
    publish(s, 0, state);
    sweep<!outputs, updates>(p, s, item, [&](int stage, std::int64_t begin, int count) {
      if constexpr (updates) {
        add_keys(s.stages[stage], state, count);
        if (begin + chunk < item.piece.end) {
          publish(s, stage ^ 1, state);
        }
      }
    });
    if constexpr (updates) {
      if (item.writes_after(p)) {
        state.store(item.after(p), warp_column, p.shape.value_dim);
      }
    }
  }

  static LINATTN_DEVICE void publish(Shared& s, int stage, state_type const& state) {
    if constexpr (outputs) {
      packed_type::put(s.states[stage][value_warp()], state);
      if (simt::thread_idx().x == 0) {
        s.counts[stage] = state.sums.count;
      }
    }
  }

  static LINATTN_DEVICE void add_keys(chunk_type const& now, state_type& state, int count) {
    LINATTN_SIMT_NO_UNROLL
    for (int row = 0; row < count; row += step) {
      word v[4];
      load_a_transposed<Operand>(v, now.v, row, value_warp() * 16);
      word kt[std::size_t{halves}][4];
      state.load_transposed(kt, now.k, row);
      state.update(kt, v, count - row < step ? count - row : step);
    }
  }

  static LINATTN_DEVICE void take_queries(Params const& p, Shared& s, item_type const& item) {
    if constexpr (outputs) {
      place_type const place(p.out, p.denominator, item.piece.sequence.batch, item.head, item.piece.begin,
                             item.column + value_warp() * 16, p.shape.value_dim);
      real const unscale = detail::reciprocal(scale_of(item));
      sweep<true, false>(p, s, item, [&](int stage, std::int64_t begin, int count) {
        int const state_at = updates ? stage : 0;
        packed_type state;
        if constexpr (keeps_state) {
          state.load(s.states[state_at][value_warp()]);
        }
        LINATTN_SIMT_NO_UNROLL
        for (int row = 0; row < count; row += step) {
          if constexpr (!keeps_state) {
            state.load(s.states[state_at][value_warp()]);
          }
          step_outputs<real> const result = outputs_of(p, s.stages[stage], state, s.counts[state_at], unscale, row);
          result.write(p.normalizer, place, static_cast<int>(begin - item.piece.begin) + row, count - row);
        }
      });
    }
  }

  static LINATTN_DEVICE step_outputs<real> outputs_of(Params const& p, chunk_type const& now, packed_type const& state,
                                                      real count, real unscale, int row) {
    word q[std::size_t{halves}][4];
    group_rows<Map, Operand>{0}.load_rows(q, now.q, row);
    step_outputs<real> result{};
    state.query(result.out, result.den, q, count, unscale);
    if constexpr (updates) {
      result.template attend<true, Operand>(q, p.map, now, row, value_warp() * 16);
      LINATTN_SIMT_NO_UNROLL
      for (int key = 0; key < row; key += step) {
        result.template attend<false, Operand>(q, p.map, now, key, value_warp() * 16);
      }
    }
    return result;
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
