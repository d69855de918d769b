// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The fused form (kernel_fused.hpp) for polynomial maps with pairs and head_dim 17 to 32, whose features are too many
// for one warp: four warps share those of 16 value columns. 16 tokens a step; the warps leave their shares of a chunk's
// outputs in shared memory, and after a second barrier each completes a quarter of the tokens.
#ifndef LINATTN_CUDA_KERNEL_FUSED_GROUPS_HPP
#define LINATTN_CUDA_KERNEL_FUSED_GROUPS_HPP

#include <linattn/cuda/kernel_fused.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/chunk.hpp>
#include <linattn/cuda/tile/features.hpp>
#include <linattn/cuda/tile/group_sums.hpp>
#include <linattn/cuda/tile/register_state.hpp>
#include <linattn/cuda/tile/step_outputs.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Norm, class Element, class Operand, class Work>
struct fused_groups_kernel {
  using real = typename Operand::real;
  using word = typename Operand::word;
  using state_type = register_state<Map, Operand>;
  static constexpr fused_work work = Work::value;
  static constexpr bool updates = work != fused_work::state_only;
  static constexpr bool outputs = work != fused_work::sums;
  static constexpr int groups = octet_shares<Map>::groups;
  static constexpr int value_warps = sizeof(word) <= 8 ? 2 : 1;
  static constexpr int value_tile = 16 * value_warps;
  static constexpr char const* name = "launching fused_groups_kernel";
  static constexpr int kThreads = 32 * groups * value_warps;
  static constexpr int kMinBlocks = 1;
  using chunk_type = staged_chunk<Map, Element, Operand, kThreads, value_tile, outputs, updates>;
  static constexpr int chunk = chunk_type::tokens;
  static constexpr int step = 16;
  static constexpr int halves = state_type::halves;

  using Params = fused_params<Map, Norm, Element, real>;
  using item_type = fused_item<work, Params>;
  using place_type = output_place<Element, real>;
  struct stages_type {
    chunk_type stages[2];
  };
  struct with_sums : group_sums<real, groups, chunk / step, value_warps>, stages_type {};
  using Shared = std::conditional_t<outputs, with_sums, stages_type>;

  static std::int64_t items(Params const& p) { return item_type::count(p); }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    item_type const item(p, value_tile);
    if (item.unused(p)) {
      return;  // all of the block
    }
    int const warp_column = item.column + value_warp() * 16;
    state_type state{};
    state.group = group();
    state.scale = state_scale<Operand>(item.piece.sequence.end - item.piece.sequence.begin);
    if (p.before.present()) {
      state.load(item.before(p), warp_column, p.shape.value_dim);
    }
    sweep(p, s, state, item);
    if constexpr (updates) {
      simt::block_sync();  // in place, all warps have read the sums that one of them replaces
      if (item.writes_after(p)) {
        state.store(item.after(p), warp_column, p.shape.value_dim);
      }
    }
  }

 private:
  static LINATTN_DEVICE int group() { return simt::warp() % groups; }
  static LINATTN_DEVICE int value_warp() { return simt::warp() / groups; }

  /// This thread; addresses that follow from it are computed anew for each chunk.
  static LINATTN_DEVICE int own_thread(chunk_type const& now) {
    return simt::anew(static_cast<int>(simt::thread_idx().x), &now);
  }
  static LINATTN_DEVICE void start(chunk_type& to, chunk_source<Element> const& from, std::int64_t begin, int count) {
    int const thread = own_thread(to);
    to.start_rows(thread, from, begin, count);
    if constexpr (updates) {
      to.start_values(thread, from, begin, count);
    }
    simt::copy_async_commit();
  }

  /// All chunks of the piece; the next one is under way while a chunk is worked on.
  static LINATTN_DEVICE void sweep(Params const& p, Shared& s, state_type& state, item_type const& item) {
    device_piece const& piece = item.piece;
    chunk_source<Element> const source{p.q,       p.k,          p.v,         piece.sequence.batch,
                                       item.head, item.kv_head, item.column, p.shape.value_dim};
    auto const count_from = [&](std::int64_t begin) {
      return piece.end - begin < chunk ? static_cast<int>(piece.end - begin) : chunk;
    };
    if (piece.begin < piece.end) {
      start(s.stages[0], source, piece.begin, count_from(piece.begin));
    }
    int stage = 0;
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t begin = piece.begin; begin < piece.end; begin += chunk, stage ^= 1) {
      int const count = count_from(begin);
      simt::copy_async_wait<0>();
      chunk_type& now = s.stages[stage];
      int const thread = own_thread(now);
      now.finish_rows(thread, p.map, source, count);
      if constexpr (updates) {
        now.finish_values(thread);
      }
      simt::block_sync();  // the chunk is there, and the other stage has been read
      if (begin + chunk < piece.end) {
        start(s.stages[stage ^ 1], source, begin + chunk, count_from(begin + chunk));
      }
      LINATTN_SIMT_NO_UNROLL
      for (int row = 0; row < count; row += step) {
        take_step(s, now, state, row, count - row);
      }
      if constexpr (outputs) {
        simt::block_sync();  // the shares are there; the loop's next barrier keeps them until they have been read
        LINATTN_SIMT_NO_UNROLL
        for (int row = group() * step; row < count; row += groups * step) {
          complete_step(p, s, now, item, begin + row, row, count - row);
        }
      }
    }
    simt::copy_async_wait<0>();
  }

  static LINATTN_DEVICE void take_step(Shared& s, chunk_type const& now, state_type& state, int row, int left) {
    if constexpr (outputs) {
      word q[std::size_t{halves}][4];
      state.load_rows(q, now.q, row);
      real out[2][4] = {};
      real den[2] = {};
      state.query(out, den, q);
      s.put(state.group, row / step, value_warp(), out, den);
    }
    if constexpr (updates) {
      word v[4];
      load_a_transposed<Operand>(v, now.v, row, value_warp() * 16);
      word kt[std::size_t{halves}][4];
      state.load_transposed(kt, now.k, row);
      state.update(kt, v, left < step ? left : step);
    }
  }

  /// The outputs of a step from the groups' shares, and the step's own keys.
  static LINATTN_DEVICE void complete_step(Params const& p, Shared& s, chunk_type const& now, item_type const& item,
                                           std::int64_t time, int row, int left) {
    step_outputs<real> result{};
    s.add(result.out, result.den, row / step, value_warp());
    if constexpr (updates) {
      word q[std::size_t{halves}][4];  // the dims in order
      LINATTN_SIMT_UNROLL
      for (int h = 0; h < halves; ++h) {
        load_a<Operand>(q[h], now.q, row, 16 * h);
      }
      result.template attend<true, Operand>(q, p.map, now, row, value_warp() * 16);
    }
    // Nothing of it is kept from step to step: beside a state there is no room.
    place_type const place(p.out, p.denominator, item.piece.sequence.batch, item.head, time,
                           item.column + value_warp() * 16, p.shape.value_dim);
    result.write(p.normalizer, place, 0, left);
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
