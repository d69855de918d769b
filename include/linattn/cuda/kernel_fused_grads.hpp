// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradient by the prepared rows in one sweep, causal, for polynomial maps with head_dim up to 32: what
// kernel_row_grads does in phases, with the state in registers; and of keys that by the values. Of queries the sweep
// runs forward in time, of keys backward: x are the rows whose gradient is made, y those of the other side, that join
// the state 16 at a time after their step's x have met them one by one. A warp owns 16 value columns and a group's
// features (kernel_fused.hpp); its share of the gradient lies in shared memory until the chunk's end, where all warps'
// shares are added in their order, a thread a row. A block that holds the whole gradient by its rows goes on to that by
// the caller's rows.
#ifndef LINATTN_CUDA_KERNEL_FUSED_GRADS_HPP
#define LINATTN_CUDA_KERNEL_FUSED_GRADS_HPP

#include <linattn/cuda/kernel_fused.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/caller_rows.hpp>
#include <linattn/cuda/tile/gradient_state.hpp>
#include <linattn/cuda/tile/group_sums.hpp>
#include <linattn/cuda/tile/line_sums.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Whether the sweep serves a map in an operand format: wider words would not fit into the registers.
template <class Map, class Operand>
concept FusedGradients = FusedMap<Map> && sizeof(typename Operand::word) == 4;

template <class Map, class Element, class Operand, bool OfKeys>
struct fused_grads_kernel {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using operand_element = typename Operand::element;
  using x_value_element = std::conditional_t<OfKeys, Element, operand_element>;
  using y_value_element = std::conditional_t<OfKeys, operand_element, Element>;
  using state_type = gradient_state<Map, Operand>;
  static constexpr int groups = octet_shares<Map>::groups;
  static constexpr int value_warps = groups == 1 ? 4 : 2;
  static constexpr int warps = groups * value_warps;
  static constexpr int value_tile = 16 * value_warps;
  static constexpr char const* name = "launching fused_grads_kernel";
  static constexpr int kThreads = 32 * warps;
  static constexpr int kMinBlocks = 256 / kThreads;
  static constexpr int step = 16;
  /// Of keys, groups leave shares of the gradients by values too: those of 64 rows would not fit into 99 KiB (sm_86).
  static constexpr int chunk = OfKeys && groups > 1 ? 48 : 64;
  static constexpr role side = OfKeys ? role::key : role::query;
  static constexpr int dim = Map::head_dim;
  static constexpr int padded_dim = round_up_to(dim, 16);
  static constexpr int halves = padded_dim / 16;
  static constexpr int gradient_size = Map::gradient_size;
  /// A row's shares of all warps, and later of the parameters' gradients; 16-byte words of rows begin in distinct
  /// banks.
  static constexpr int row_shares =
      round_up_to(warps * padded_dim > gradient_size ? warps * padded_dim : gradient_size, 8) + 4;
  static_assert(halves <= state_type::halves,
                "linattn::fused_grads_kernel: rows longer than a group's; "
                "head_dim up to 32; use the form in phases");

  struct Params {
    Map map;
    device_shape shape;
    device_rows<operand_element const> x;  // prepared rows
    device_rows<operand_element const> y;
    device_rows<x_value_element const> x_values;
    device_rows<y_value_element const> y_values;
    device_rows<real const> weights;         // c of the queries' rows; no data: zero
    bool finishes;                           // one tile of values and, of keys, one query head each: no other parts
    caller_rows<Map, Element, real> caller;  // if so
    real* partials;                          // and of the parameters' gradients: [pieces][heads][gradient_size]
    device_rows<real> grads;  // if not: of each query head, by x; one such tensor for each tile of values
    std::int64_t grads_tile_stride;
    // Of keys: by the values, or if those have several query heads, a part of each.
    device_rows<Element> value_grads;
    device_rows<real> value_parts;
    device_states<real const> states;  // what the sweep begins with, or absent
    bool state_a_sequence;             // those are numbered by sequence, not by piece
    std::int64_t piece_tokens;
    int value_tiles;
    std::int64_t first_item;
  };
  using values_type = group_outputs<real, OfKeys ? groups : 1, chunk / step, value_warps>;
  struct Shared : values_type {
    shared_tile<operand_element, chunk, padded_dim> x;
    shared_tile<operand_element, chunk, padded_dim> y;
    shared_tile<operand_element, chunk, value_tile> x_values;
    shared_tile<operand_element, chunk, value_tile> y_values;
    real weights[std::size_t{chunk}];  // c of the queries among x and y
    alignas(16) real shares[std::size_t{chunk}][std::size_t{row_shares}];
    line_sums<real, gradient_size, kThreads> sums;  // of the parameters' gradients
  };

  static std::int64_t items(Params const& p) { return p.shape.pieces(p.piece_tokens) * p.shape.heads * p.value_tiles; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const tile = item.digit(p.value_tiles);
    int const head = item.digit(p.shape.heads);
    device_piece const piece = p.shape.piece(item.rest(), p.piece_tokens);
    place const at{piece.sequence.batch, head, p.shape.kv_head_of(head), tile, piece.begin};
    if constexpr (gradient_size > 0) {
      s.sums.clear();
    }
    if (piece.begin < piece.end) {  // all of the block
      sweep(p, s, at, piece);
    }
    if constexpr (gradient_size > 0) {
      if (p.finishes) {
        simt::block_sync();
        s.sums.store(p.partials + (piece.unit * p.shape.heads + head) * gradient_size);
      }
    }
  }

 private:
  struct place {
    std::int64_t batch;
    int head;
    int kv_head;
    int tile;            // of values
    std::int64_t begin;  // of the piece
  };
  static LINATTN_DEVICE int group() { return groups == 1 ? 0 : simt::warp() % groups; }
  static LINATTN_DEVICE int value_warp() { return simt::warp() / groups; }
  static LINATTN_DEVICE int first_value(place const& at) { return at.tile * value_tile + value_warp() * 16; }

  static LINATTN_DEVICE void sweep(Params const& p, Shared& s, place const& at, device_piece const& piece) {
    state_type state{};
    state.group = group();
    // Keys of a group's heads sum up their gradients: one of the heads takes what the group's state adds.
    bool const takes_state = !OfKeys || at.head == p.shape.query_head(at.kv_head, 0);
    if (p.states.present() && takes_state) {
      state.load(p.states.at(p.state_a_sequence ? piece.sequence.index : piece.unit, at.kv_head), first_value(at),
                 p.shape.value_dim);
    }
    std::int64_t const chunks = (piece.end - piece.begin + chunk - 1) / chunk;
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t i = 0; i < chunks; ++i) {
      std::int64_t const begin = piece.begin + (OfKeys ? chunks - 1 - i : i) * chunk;
      int const count = piece.end - begin < chunk ? static_cast<int>(piece.end - begin) : chunk;
      stage(p, s, at, begin, count);
      simt::block_sync();  // the chunk is there, and the last one's shares are no longer read
      int const steps = (count + step - 1) / step;
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < steps; ++n) {
        take_step(p, s, state, at, begin, (OfKeys ? steps - 1 - n : n) * step, count);
      }
      simt::block_sync();  // the shares are there, and the chunk has been read
      write(p, s, at, begin, count);
      if constexpr (OfKeys && groups > 1) {
        LINATTN_SIMT_NO_UNROLL
        for (int row = group() * step; row < count; row += groups * step) {
          real values[2][4] = {};
          s.add(values, row / step, value_warp());
          write_values(p, at, begin + row, count - row, values);
        }
      }
    }
  }

  static LINATTN_DEVICE void stage(Params const& p, Shared& s, place const& at, std::int64_t begin, int count) {
    int const x_head = OfKeys ? at.kv_head : at.head;
    int const y_head = OfKeys ? at.head : at.kv_head;
    int const column = at.tile * value_tile;
    stage_prepared_rows<kThreads>(s.x, p.x.row(at.batch, x_head, begin), p.x.time_stride, count);
    stage_prepared_rows<kThreads>(s.y, p.y.row(at.batch, y_head, begin), p.y.time_stride, count);
    simt::copy_async_commit();
    stage_values<kThreads, real>(s.x_values, p.x_values.row(at.batch, x_head, begin), p.x_values.time_stride,
                                 p.x_values.vectors, count, column, p.shape.value_dim);
    stage_values<kThreads, real>(s.y_values, p.y_values.row(at.batch, y_head, begin), p.y_values.time_stride,
                                 p.y_values.vectors, count, column, p.shape.value_dim);
    stage_numbers<kThreads>(s.weights, p.weights, at.batch, at.head, begin, count);
    simt::copy_async_wait<0>();
  }

  static LINATTN_DEVICE void take_step(Params const& p, Shared& s, state_type& state, place const& at,
                                       std::int64_t begin, int row, int count) {
    int const t = simt::lane() % 4;
    bool const owns_sums = at.tile == 0 && value_warp() == 0;
    word x_values[4];
    load_a<Operand>(x_values, s.x_values, row, value_warp() * 16);

    real grads[std::size_t{state_type::blocks}][2][2] = {};
    word x[std::size_t{state_type::halves}][4];
    state.load_rows(x, s.x, row);
    state.add_grads(grads, x, x_values);
    if (owns_sums) {
      int const g = simt::lane() / 4;
      real const weights[2] = {OfKeys ? real(1) : s.weights[row + g], OfKeys ? real(1) : s.weights[row + 8 + g]};
      state.sums.add_grads(grads, x, weights);
    }
    put(s, state, grads, row);
    real values[2][4] = {};
    if constexpr (OfKeys) {
      state.query(values, x);
    }
    if ((begin - at.begin + row) / step % groups == group()) {  // groups take turns with pairs
      add_pairs(p, s, values, x_values, row, count, owns_sums);
    }
    if constexpr (OfKeys && groups > 1) {
      s.values_type::put(state.group, row / step, value_warp(), values);
    } else if constexpr (OfKeys) {
      write_values(p, at, begin + row, count - row, values);
    }
    word yt[std::size_t{state_type::halves}][4];
    word y_values[4];
    state.load_transposed(yt, s.y, row);
    load_b<Operand>(y_values, s.y_values, row, value_warp() * 16);
    real const* const c = s.weights + row + 2 * t;
    word const one = Operand::pack(real(1), real(1));
    word const weights[2] = {OfKeys ? Operand::pack(c[0], c[1]) : one, OfKeys ? Operand::pack(c[8], c[9]) : one};
    state.template add_rows<OfKeys>(yt, y_values, weights);
  }

  /// This warp's share of a row.
  static LINATTN_DEVICE real* share(Shared& s, int row) { return s.shares[row] + simt::warp() * padded_dim; }

  /// This warp's share of 16 rows; zero where the group has no block.
  static LINATTN_DEVICE void put(Shared& s, state_type const& state,
                                 real const (&grads)[std::size_t{state_type::blocks}][2][2], int row) {
    using shares = octet_shares<Map>;
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 2; ++i) {
      real* const to = share(s, row + 8 * i + g) + 2 * t;
      if constexpr (shares::shared) {
        to[8 * shares::block(state.group, 3)] = real(0);
        to[8 * shares::block(state.group, 3) + 1] = real(0);
      }
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 2 * state_type::blocks; ++n) {
        to[8 * shares::block(state.group, n / 2) + n % 2] = grads[n / 2][i][n % 2];
      }
      if constexpr (!shares::shared && state_type::blocks == 1) {
        to[8] = real(0);
        to[9] = real(0);
      }
    }
  }

  /// The step's own rows y: share += dS Y, dS = score'(X Y^T) (x_values y_values^T + c) up to the diagonal; of keys
  /// also values += score(X Y^T) y_values.
  static LINATTN_DEVICE void add_pairs(Params const& p, Shared& s, real (&values)[2][4], word const (&x_values)[4],
                                       int row, int count, bool owns_sums) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    word x[std::size_t{halves}][4];
    word y[std::size_t{halves}][4];
    word y_values[4];
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      load_a<Operand>(x[h], s.x, row, 16 * h);
      load_b_transposed<Operand>(y[h], s.y, row, 16 * h);
    }
    load_b_transposed<Operand>(y_values, s.y_values, row, value_warp() * 16);
    word weights[4];
    word scores[4];
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      real score[4] = {};
      LINATTN_SIMT_UNROLL
      for (int h = 0; h < halves; ++h) {
        Operand::mma(score, x[h], y[h][2 * n], y[h][2 * n + 1]);
      }
      real d[4] = {};
      Operand::mma(d, x_values, y_values[2 * n], y_values[2 * n + 1]);
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        int const of_x = g + e / 2 * 8;
        int const of_y = 8 * n + 2 * t + e % 2;
        bool const sees = OfKeys ? of_y >= of_x : of_y <= of_x;
        real const c = owns_sums ? s.weights[row + (OfKeys ? of_y : of_x)] : real(0);
        bool const counts = sees && row + of_y < count;
        d[e] = counts ? (d[e] + c) * p.map.score_grad(score[e]) : real(0);
        score[e] = counts ? p.map.score(score[e]) : real(0);
      }
      scores[2 * n] = Operand::pack(score[0], score[1]);
      scores[2 * n + 1] = Operand::pack(score[2], score[3]);
      weights[2 * n] = Operand::pack(d[0], d[1]);
      weights[2 * n + 1] = Operand::pack(d[2], d[3]);
    }
    if constexpr (OfKeys) {
      load_b<Operand>(y_values, s.y_values, row, value_warp() * 16);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 2; ++n) {
        Operand::mma(values[n], scores, y_values[2 * n], y_values[2 * n + 1]);
      }
    }
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      word b[4];
      load_b<Operand>(b, s.y, row, 16 * h);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 2; ++n) {
        real grads[4] = {};
        Operand::mma(grads, weights, b[2 * n], b[2 * n + 1]);
        LINATTN_SIMT_UNROLL
        for (int e = 0; e < 4; ++e) {
          share(s, row + e / 2 * 8 + g)[16 * h + 8 * n + 2 * t + e % 2] += grads[e];
        }
      }
    }
  }

  /// The gradients by the values of 16 rows, `left` of which are there.
  static LINATTN_DEVICE void write_values(Params const& p, place const& at, std::int64_t time, int left,
                                          real const (&values)[2][4]) {
    int const column = first_value(at) + simt::lane() % 4 * 2;
    auto const write = [&](auto const& to, int head, int half) {
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 2; ++n) {
        write_pair(to.row(at.batch, head, time + half * 8 + simt::lane() / 4), column + 8 * n, p.shape.value_dim,
                   to.vectors, values[n][2 * half], values[n][2 * half + 1]);
      }
    };
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      if (half * 8 + simt::lane() / 4 < left) {
        if (p.value_parts.data != nullptr) {
          write(p.value_parts, at.head, half);
        } else {
          write(p.value_grads, at.kv_head, half);
        }
      }
    }
  }

  /// The sums of all warps' shares, as they are or by the caller's rows.
  static LINATTN_DEVICE void write(Params const& p, Shared& s, place const& at, std::int64_t begin, int count) {
    int const row = static_cast<int>(simt::thread_idx().x);
    int const head = OfKeys ? at.kv_head : at.head;
    if (row < count) {
      real grad[std::size_t{dim}];
      sum_shares(grad, s.shares[row]);
      if (p.finishes) {
        real* const partial = s.shares[row];
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < gradient_size; ++n) {
          partial[n] = real(0);
        }
        real x[std::size_t{dim}];
        p.caller.finish(x, grad, partial, simt::anew(p.map, partial), side, at.batch, head, begin + row);
      } else {
        write_elements(p.grads.row(at.batch, at.head, begin + row) + at.tile * p.grads_tile_stride, p.grads.vectors,
                       grad);
      }
    }
    if constexpr (gradient_size > 0) {
      if (p.finishes) {
        simt::block_sync();  // the rows' shares are there
        s.sums.add(s.shares[0], row_shares, count);
      }
    }
  }
  static LINATTN_DEVICE void sum_shares(real (&grad)[std::size_t{dim}], real const (&shares)[std::size_t{row_shares}]) {
    using piece = element_piece<real>;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < padded_dim / piece::size; ++i) {
      piece sum{};
      LINATTN_SIMT_UNROLL
      for (int warp = 0; warp < warps; ++warp) {
        piece const part = simt::load(reinterpret_cast<piece const*>(shares + warp * padded_dim) + i);
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < piece::size; ++n) {
          sum.e[n] += part.e[n];
        }
      }
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size && i * piece::size + n < dim; ++n) {
        grad[i * piece::size + n] = sum.e[n];
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
