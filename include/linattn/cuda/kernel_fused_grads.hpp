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
#include <linattn/cuda/tile/gradient_chunk.hpp>
#include <linattn/cuda/tile/gradient_pairs.hpp>
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
  static constexpr role side = OfKeys ? role::key : role::query;
  static constexpr int dim = Map::head_dim;
  static constexpr int padded_dim = round_up_to(dim, 16);
  /// Rows whose shares lie in shared memory until a thread a row adds them: as many as there are threads, as far as a
  /// block fits into 99 KiB (sm_86). Of keys, groups leave shares of the gradients by values too.
  static constexpr int chunk = groups == 1 ? (padded_dim == 16 ? 128 : 64) : (OfKeys ? 32 : 64);
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
  using stage_type = gradient_chunk<Operand, 32, padded_dim, value_tile, kThreads>;
  using rows_type = gradient_rows<Operand, x_value_element, y_value_element>;
  struct Shared : values_type {
    rows_type first;  // the piece's first rows, in the block's first value column
    stage_type stages[2];
    raw_rows<Element, chunk, dim> rows;  // of the caller's
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
    find_rows(p, s, at);
    simt::block_sync();
    // A stage of the piece is worked on while the next one is under way. Chunks are some stages each, from the piece's
    // begin on, and written when the last of their stages has been taken.
    constexpr int in_chunk = chunk / stage_type::rows;
    int const stages = static_cast<int>((piece.end - piece.begin + stage_type::rows - 1) / stage_type::rows);
    int const rest = static_cast<int>(piece.end - piece.begin - std::int64_t{stages - 1} * stage_type::rows);
    auto const rows_of_stage = [&](int number) { return number == stages - 1 ? rest : stage_type::rows; };
    start_stage(p, s, s.stages[0], OfKeys ? stages - 1 : 0, rows_of_stage(OfKeys ? stages - 1 : 0));
    LINATTN_SIMT_NO_UNROLL
    for (int i = 0; i < stages; ++i) {
      int const number = OfKeys ? stages - 1 - i : i;
      stage_type& now = s.stages[i % 2];
      simt::copy_async_wait<0>();
      stage_type::template finish_values<x_value_element>(now.x_values);
      stage_type::template finish_values<y_value_element>(now.y_values);
      simt::block_sync();  // the stage is there, the other one has been read, and so have the last chunk's shares
      if (i + 1 < stages) {
        int const next = OfKeys ? number - 1 : number + 1;
        start_stage(p, s, s.stages[(i + 1) % 2], next, rows_of_stage(next));
      }
      int const before = number % in_chunk;                                         // stages of the chunk
      std::int64_t const begin = std::int64_t{number - before} * stage_type::rows;  // of the chunk, in the piece
      int const left = stages - (number - before);
      int const count = left > in_chunk ? chunk : (left - 1) * stage_type::rows + rest;  // rows of the chunk
      bool const last = OfKeys ? before == 0 : before == in_chunk - 1 || number == stages - 1;
      if (last) {
        start_caller_rows(p, s, at, begin, count);
      }
      int const steps = (rows_of_stage(number) + step - 1) / step;
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < steps; ++n) {
        take_step(p, s, now, state, at, begin, (OfKeys ? steps - 1 - n : n) * step, before * stage_type::rows, count);
      }
      if (last) {
        simt::copy_async_wait<0>();
        simt::block_sync();  // the shares are there
        write(p, s, at, begin, count);
      }
    }
  }

  static LINATTN_DEVICE void find_rows(Params const& p, Shared& s, place const& at) {
    int const x_head = OfKeys ? at.kv_head : at.head;
    int const y_head = OfKeys ? at.head : at.kv_head;
    int const column = at.tile * value_tile;
    if (simt::thread_idx().x == 0) {
      s.first = {p.x.row(at.batch, x_head, at.begin),
                 p.y.row(at.batch, y_head, at.begin),
                 p.x_values.row(at.batch, x_head, at.begin) + column,
                 p.y_values.row(at.batch, y_head, at.begin) + column,
                 p.weights.data != nullptr ? p.weights.row(at.batch, at.head, at.begin) : nullptr,
                 p.value_parts.data != nullptr
                     ? p.value_parts.row(at.batch, at.head, at.begin) + column - p.value_parts.data
                     : p.value_grads.row(at.batch, at.kv_head, at.begin) + column - p.value_grads.data,
                 p.shape.value_dim - column};
    }
  }

  /// Stage `number` of the piece, which has `count` rows.
  static LINATTN_DEVICE void start_stage(Params const& p, Shared const& s, stage_type& to, int number, int count) {
    unsigned const begin = static_cast<unsigned>(number) * stage_type::rows;
    to.start_rows(s.first.x, p.x.time_stride, s.first.y, p.y.time_stride, begin, count);
    stage_type::start_values(to.x_values, s.first.x_values, p.x_values.time_stride, p.x_values.vectors, begin, count,
                             s.first.columns);
    stage_type::start_values(to.y_values, s.first.y_values, p.y_values.time_stride, p.y_values.vectors, begin, count,
                             s.first.columns);
    to.start_weights(s.first.weights, p.weights.time_stride, begin, count);
    simt::copy_async_commit();
  }

  static LINATTN_DEVICE void start_caller_rows(Params const& p, Shared& s, place const& at, std::int64_t begin,
                                               int count) {
    int const row = static_cast<int>(simt::thread_idx().x);
    if (p.finishes && row < count) {
      s.rows.start(row, p.caller.from.row(at.batch, OfKeys ? at.kv_head : at.head, at.begin + begin + row),
                   p.caller.from.vectors);
    }
    simt::copy_async_commit();
  }

  /// The rows of `now` from `row` on; the stage begins at row `first` of the chunk, which begins at `begin`.
  static LINATTN_DEVICE void take_step(Params const& p, Shared& s, stage_type const& now, state_type& state,
                                       place const& at, std::int64_t begin, int row, int first, int count) {
    int const t = simt::lane() % 4;
    bool const owns_sums = at.tile == 0 && value_warp() == 0;
    int const left = count - first - row;
    word x_values[4];
    load_a<Operand>(x_values, now.x_values, row, value_warp() * 16);

    real grads[std::size_t{state_type::blocks}][2][2] = {};
    word x[std::size_t{state_type::halves}][4];
    state.load_rows(x, now.x, row);
    state.add_grads(grads, x, x_values);
    // Sums of products mingle with the rest if there is no branch: for other warps they weigh nothing. With those of
    // rows, all of it would not fit into the registers.
    if (!state_type::sums_type::has_linear || owns_sums) {
      int const g = simt::lane() / 4;
      real const by_sums[2] = {!owns_sums ? real(0) : (OfKeys ? real(1) : now.weights[row + g]),
                               !owns_sums ? real(0) : (OfKeys ? real(1) : now.weights[row + 8 + g])};
      state.sums.add_grads(grads, x, by_sums);
    }
    if constexpr (groups > 1) {
      put(s, state, grads, first + row);
    }
    real values[2][4] = {};
    if constexpr (OfKeys) {
      state.query(values, x);
    }
    if ((begin + first + row) / step % groups == group()) {  // groups take turns with pairs
      real pairs[2 * std::size_t{halves}][4] = {};
      add_gradient_pairs<Operand, OfKeys, halves>(p.map, now, pairs, values, x_values, row, value_warp() * 16, left,
                                                  owns_sums);
      if constexpr (groups > 1) {
        add_to_share(s, pairs, first + row);
      } else {
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < 4 * state_type::blocks; ++n) {
          grads[n / 4][n % 4 / 2][n % 2] += pairs[n / 4][n % 4];
        }
      }
    }
    if constexpr (groups == 1) {
      put(s, state, grads, first + row);
    }
    if constexpr (OfKeys && groups > 1) {
      s.values_type::put(state.group, (first + row) / step, value_warp(), values);
    } else if constexpr (OfKeys) {
      write_values(p, s, begin + first + row, left, values);
    }
    word yt[std::size_t{state_type::halves}][4];
    word y_values[4];
    state.load_transposed(yt, now.y, row);
    load_b<Operand>(y_values, now.y_values, row, value_warp() * 16);
    real const* const c = now.weights + row + 2 * t;
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

  static LINATTN_DEVICE void add_to_share(Shared& s, real const (&pairs)[2 * std::size_t{halves}][4], int row) {
    real* const to = share(s, row + simt::lane() / 4) + simt::lane() % 4 * 2;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 8 * halves; ++i) {
      to[i % 4 / 2 * 8 * row_shares + i / 4 * 8 + i % 2] += pairs[i / 4][i % 4];
    }
  }

  /// The gradients by the values of 16 rows from `row` of the piece on, `left` of which are there.
  static LINATTN_DEVICE void write_values(Params const& p, Shared const& s, std::int64_t row, int left,
                                          real const (&values)[2][4]) {
    int const columns = s.first.columns;
    if (p.value_parts.data != nullptr) {
      write_fragments(p.value_parts, s.first.value_grads, row, value_warp() * 16, left, columns, values);
    } else {
      write_fragments(p.value_grads, s.first.value_grads, row, value_warp() * 16, left, columns, values);
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
        s.rows.read(x, row);
        p.caller.finish_read(x, grad, partial, simt::anew(p.map, partial), side, at.batch, head,
                             at.begin + begin + row);
      } else {
        write_elements(p.grads.row(at.batch, at.head, at.begin + begin + row) + at.tile * p.grads_tile_stride,
                       p.grads.vectors, grad);
      }
    }
    if constexpr (gradient_size > 0) {
      if (p.finishes) {
        simt::block_sync();  // the rows' shares are there
        s.sums.add(s.shares[0], row_shares, count);
      }
    }
    if constexpr (OfKeys && groups > 1) {
      LINATTN_SIMT_NO_UNROLL
      for (int from = group() * step; from < count; from += groups * step) {
        real values[2][4] = {};
        s.add(values, from / step, value_warp());
        write_values(p, s, begin + from, count - from, values);
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
