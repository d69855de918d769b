// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// packed_state: a register_state of one group as queries need it, its sums packed to operands. The warp that adds keys
// to the state leaves it in shared memory, and each lane finds there what the same lane left.
#ifndef LINATTN_CUDA_TILE_PACKED_STATE_HPP
#define LINATTN_CUDA_TILE_PACKED_STATE_HPP

#include <linattn/cuda/tile/register_state.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct packed_state {
  using state_type = register_state<Map, Operand>;
  using real = typename Operand::real;
  using word = typename Operand::word;
  static constexpr int halves = state_type::halves;
  static constexpr int per_piece = 16 / static_cast<int>(sizeof(word));
  static constexpr int words = 2 * state_type::octets + state_type::sums_type::words;
  static constexpr int pieces = (words + per_piece - 1) / per_piece;
  static_assert(state_type::shares::groups == 1,
                "linattn::packed_state: groups that share the features; one group; sum their outputs instead");

  struct alignas(16) piece {
    word w[std::size_t{per_piece}];
  };
  /// Where a warp leaves it.
  struct memory {
    piece p[std::size_t{pieces}][32];
  };

  word w[std::size_t{pieces} * per_piece];

  static LINATTN_DEVICE void put(memory& to, state_type const& state) {
    packed_state packed{};
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < state_type::octets; ++n) {
      packed.w[2 * n] = state.operand(n, 0);
      packed.w[2 * n + 1] = state.operand(n, 1);
    }
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < state_type::sums_type::words; ++n) {
      packed.w[2 * state_type::octets + n] = state.sums.operand(n);
    }
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < pieces; ++i) {
      piece one;
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < per_piece; ++n) {
        one.w[n] = packed.w[i * per_piece + n];
      }
      simt::store(&to.p[i][simt::lane()], one);
    }
  }
  LINATTN_DEVICE void load(memory const& from) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < pieces; ++i) {
      piece const one = simt::load(&from.p[i][simt::lane()]);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < per_piece; ++n) {
        w[i * per_piece + n] = one.w[n];
      }
    }
  }

  /// out += phi(Q) S, den += phi(Q) z (this lane's columns), for 16 queries after `count` keys; the state's scale is
  /// 1 / `unscale`.
  LINATTN_DEVICE void query(real (&out)[2][4], real (&den)[2], word const (&q)[std::size_t{halves}][4], real count,
                            real unscale) const {
    state_type::query_operands(
        out, den, group_rows<Map, Operand>{0}, q, count, unscale, [this](int n, int i) { return w[2 * n + i]; },
        [this](int n) { return w[2 * state_type::octets + n]; });
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
