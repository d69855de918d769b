// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The chunkwise form in one pass, for polynomial maps with head_dim up to 32: 16 tokens a step, and the state never
// leaves the registers. It lives in the accumulators of V^T phi(K), and packed to operands these are B of phi(Q) S. A
// warp owns 16 value columns and a group's features, in rotation octets. Up to head_dim 16, and where there are no
// pairs, one group has all features, and there is one barrier a chunk. Else four warps have a group each: they leave
// their shares of a chunk's outputs in shared memory, and after a second barrier each completes a quarter of the
// tokens. Lane 4 g + t holds, of 16 dims,
//   q[2 b + i], k[2 i + b]  token 8 i + g, dims 8 b + 2 t, + 1             A and B of Q K^T; q also A of Q Z
//   kt[2 i + b]             dim 8 b + g, tokens 8 i + 2 t, + 1             A, B of K^T K; octets: B of V^T phi(K)
//   v[2 i + b]              value 8 b + g, tokens 8 i + 2 t, + 1           A of V^T phi(K), B of P V
//   out[n][e]               token 8 (e / 2) + g, value 8 n + 2 t + e % 2
#ifndef LINATTN_CUDA_KERNEL_FUSED_HPP
#define LINATTN_CUDA_KERNEL_FUSED_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/chunk.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/group_sums.hpp>
#include <linattn/cuda/tile/register_state.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

enum class fused_work : std::uint8_t {
  outputs,    // causal: queries through the state, then their own step's keys, which join the state
  sums,       // only the sums of a piece, from zero; items are key heads
  state_only  // not causal: the state that is given holds the whole sequence
};

/// Whether the fused form serves a map.
template <class Map>
concept FusedMap = PolynomialMap<Map> && Map::head_dim <= 32 && !Map::all_heads;

template <class Map, class Norm, class Element, class Operand, class Work>
struct fused_kernel {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using state_type = register_state<Map, Operand>;
  static constexpr int groups = octet_shares<Map>::groups;
  static constexpr int value_warps = groups == 1 ? 4 : (sizeof(word) <= 8 ? 2 : 1);
  static constexpr int value_tile = 16 * value_warps;
  static constexpr char const* name = "launching fused_kernel";
  static constexpr int kThreads = 32 * groups * value_warps;
  // 256 threads a multiprocessor; 168 registers, for 384, would spill.
  static constexpr int kMinBlocks = sizeof(word) == 4 ? 256 / kThreads : 1;
  using chunk_type = staged_chunk<Map, Element, Operand, kThreads, value_tile>;
  static constexpr int chunk = chunk_type::tokens;
  static constexpr int step = 16;
  static constexpr int halves = state_type::halves;
  static constexpr fused_work work = Work::value;
  static constexpr bool updates = work != fused_work::state_only;
  static constexpr bool outputs = work != fused_work::sums;

  struct Params {
    Map map;
    Norm normalizer;
    device_shape shape;
    device_rows<Element const> q;
    device_rows<Element const> k;
    device_rows<Element const> v;
    device_rows<Element> out;
    device_rows<real> denominator;     // data may be null
    device_states<real const> before;  // what went before, or absent
    device_states<real> after;         // or absent
    std::int64_t piece_tokens;
    bool before_a_sequence;  // those states are numbered by sequence, not by piece
    bool after_a_sequence;
    int value_tiles;
    std::int64_t first_item;
  };
  using sums_type = group_sums<real, outputs ? groups : 1, chunk / step, value_warps>;
  struct Shared : sums_type {
    chunk_type stages[2];
  };

  static std::int64_t items(Params const& p) {
    int const heads = outputs ? p.shape.heads : p.shape.kv_heads;
    return p.shape.pieces(p.piece_tokens) * heads * p.value_tiles;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const column = item.digit(p.value_tiles) * value_tile;
    int const head = item.digit(outputs ? p.shape.heads : p.shape.kv_heads);
    device_piece const piece = p.shape.piece(item.rest(), p.piece_tokens);
    if (piece.unused()) {
      return;  // all of the block
    }
    device_sequence const& sequence = piece.sequence;
    int const kv_head = outputs ? p.shape.kv_head_of(head) : head;
    int const warp_column = column + value_warp() * 16;

    state_type state{};
    state.group = group();
    state.scale = state_scale<Operand>(sequence.end - sequence.begin);
    if (p.before.present()) {
      std::int64_t const unit = p.before_a_sequence              ? sequence.index
                                : work == fused_work::state_only ? p.shape.first_piece(sequence.index, p.piece_tokens)
                                                                 : piece.unit;
      state.load(p.before.at(unit, kv_head), warp_column, p.shape.value_dim);
    }
    sweep(p, s, state, piece, head, kv_head, column);
    if constexpr (updates) {
      simt::block_sync();  // in place, all warps have read the sums that one of them replaces
      bool const first_member = !outputs || head == p.shape.query_head(kv_head, 0);
      if (p.after.present() && first_member) {
        state.store(p.after.at(p.after_a_sequence ? sequence.index : piece.unit, kv_head), warp_column,
                    p.shape.value_dim);
      }
    }
  }

 private:
  static LINATTN_DEVICE int group() { return groups == 1 ? 0 : simt::warp() % groups; }
  static LINATTN_DEVICE int value_warp() { return simt::warp() / groups; }

  /// All chunks of the piece; the next one is under way while a chunk is worked on.
  static LINATTN_DEVICE void sweep(Params const& p, Shared& s, state_type& state, device_piece const& piece, int head,
                                   int kv_head, int column) {
    std::int64_t const batch = piece.sequence.batch;
    auto const start_chunk = [&](int stage, std::int64_t begin) {
      int const count = piece.end - begin < chunk ? static_cast<int>(piece.end - begin) : chunk;
      if constexpr (outputs) {
        s.stages[stage].start_rows(role::query, p.q.row(batch, head, begin), p.q.time_stride, p.q.vectors, count);
      }
      if constexpr (updates) {
        s.stages[stage].start_rows(role::key, p.k.row(batch, kv_head, begin), p.k.time_stride, p.k.vectors, count);
        s.stages[stage].start_values(p.v.row(batch, kv_head, begin), p.v.time_stride, p.v.vectors, count, column,
                                     p.shape.value_dim);
      }
      simt::copy_async_commit();
    };
    if (piece.begin < piece.end) {
      start_chunk(0, piece.begin);
    }
    int stage = 0;
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t begin = piece.begin; begin < piece.end; begin += chunk, stage ^= 1) {
      int const count = piece.end - begin < chunk ? static_cast<int>(piece.end - begin) : chunk;
      simt::copy_async_wait<0>();
      chunk_type& now = s.stages[stage];
      if constexpr (outputs) {
        now.finish_rows(role::query, p.map, head, count);
      }
      if constexpr (updates) {
        now.finish_rows(role::key, p.map, kv_head, count);
        now.finish_values();
      }
      simt::block_sync();  // the chunk is there, and the other stage has been read
      if (begin + chunk < piece.end) {
        start_chunk(stage ^ 1, begin + chunk);
      }
      LINATTN_SIMT_NO_UNROLL
      for (int row = 0; row < count; row += step) {
        take_step(p, s, now, state, batch, head, begin + row, row, count - row, column);
      }
      if constexpr (groups > 1 && outputs) {
        simt::block_sync();  // the shares are there; the loop's next barrier keeps them until they have been read
        LINATTN_SIMT_NO_UNROLL
        for (int row = group() * step; row < count; row += groups * step) {
          complete_step(p, s, now, batch, head, begin + row, row, count - row, column);
        }
      }
    }
    simt::copy_async_wait<0>();
  }

  static LINATTN_DEVICE void take_step(Params const& p, Shared& s, chunk_type const& now, state_type& state,
                                       std::int64_t batch, int head, std::int64_t time, int row, int left, int column) {
    word v[4] = {};
    if constexpr (updates) {
      load_a_transposed<Operand>(v, now.v, row, value_warp() * 16);
    }
    if constexpr (outputs) {
      word q[std::size_t{halves}][4];
      state.load_rows(q, now.q, row);
      real out[2][4] = {};
      real den[2] = {};
      state.query(out, den, q);
      if constexpr (groups > 1) {
        s.put(state.group, row / step, value_warp(), out, den);
      } else {
        if constexpr (updates) {
          attend(p, now, out, den, q, v, row, left);
        }
        write(p, out, den, batch, head, time, left, column);
      }
    }
    if constexpr (updates) {
      word kt[std::size_t{halves}][4];
      state.load_transposed(kt, now.k, row);
      state.update(kt, v, left < step ? left : step);
    }
  }

  /// The outputs of a step from the groups' shares, and the step's own keys.
  static LINATTN_DEVICE void complete_step(Params const& p, Shared& s, chunk_type const& now, std::int64_t batch,
                                           int head, std::int64_t time, int row, int left, int column) {
    real out[2][4] = {};
    real den[2] = {};
    s.add(out, den, row / step, value_warp());
    if constexpr (updates) {
      word q[std::size_t{halves}][4];
      word v[4];
      LINATTN_SIMT_UNROLL
      for (int h = 0; h < halves; ++h) {
        load_a<Operand>(q[h], now.q, row, 16 * h);
      }
      load_a_transposed<Operand>(v, now.v, row, value_warp() * 16);
      attend(p, now, out, den, q, v, row, left);
    }
    write(p, out, den, batch, head, time, left, column);
  }

  /// The step's own keys: out += P V, den += P 1, P = score(Q K^T) up to the diagonal. The queries' dims are in order.
  static LINATTN_DEVICE void attend(Params const& p, chunk_type const& now, real (&out)[2][4], real (&den)[2],
                                    word const (&q)[std::size_t{halves}][4], word const (&v)[4], int row, int left) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    word k[std::size_t{halves}][4];
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      load_b_transposed<Operand>(k[h], now.k, row, 16 * h);
    }
    word weights[4];
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      real w[4] = {};
      LINATTN_SIMT_UNROLL
      for (int h = 0; h < halves; ++h) {
        Operand::mma(w, q[h], k[h][2 * n], k[h][2 * n + 1]);
      }
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        int const key = 8 * n + 2 * t + e % 2;
        w[e] = key <= g + e / 2 * 8 && key < left ? p.map.score(w[e]) : real(0);
        den[e / 2] += w[e];
      }
      weights[2 * n] = Operand::pack(w[0], w[1]);
      weights[2 * n + 1] = Operand::pack(w[2], w[3]);
    }
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      Operand::mma(out[n], weights, v[n], v[2 + n]);
    }
  }

  static LINATTN_DEVICE void write(Params const& p, real const (&out)[2][4], real (&den)[2], std::int64_t batch,
                                   int head, std::int64_t time, int left, int column) {
    int const t = simt::lane() % 4;
    int const first = column + value_warp() * 16;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      real sum = den[half];
      sum += simt::shuffle_xor(sum, 1);
      sum += simt::shuffle_xor(sum, 2);
      int const row = half * 8 + simt::lane() / 4;
      if (row >= left) {
        continue;
      }
      if (p.denominator.data != nullptr && first == 0 && t == 0) {
        simt::store(p.denominator.row(batch, head, time + row), sum);
      }
      real scale = real(1);
      if constexpr (Norm::needs_denominator) {
        scale = p.normalizer.scale(sum);
      }
      Element* const to = p.out.row(batch, head, time + row);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 2; ++n) {
        write_pair(to, first + 8 * n + 2 * t, p.shape.value_dim, p.out.vectors, out[n][2 * half] * scale,
                   out[n][2 * half + 1] * scale);
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
