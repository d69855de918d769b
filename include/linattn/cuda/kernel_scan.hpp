// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From the sums of each piece to what a piece's queries need: the sum of all earlier pieces and the initial state, in
// their order; and to the final state. Gradients run the other way: `initial` then comes after the last piece. A thread
// follows four numbers of a state from piece to piece.
#ifndef LINATTN_CUDA_KERNEL_SCAN_HPP
#define LINATTN_CUDA_KERNEL_SCAN_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

enum class scan_result : std::uint8_t {
  before_piece,  // each piece gets the sum of what went before it
  after_piece,   // the mirror image: the sum of what comes after it
  whole          // the sequence's first piece gets the sum of all: queries that see everything
};

template <class Real>
struct scan_kernel {
  static constexpr char const* name = "launching scan_kernel";
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr int numbers = 1024;  // of a state, a block

  struct Params {
    device_shape shape;
    device_states<Real> pieces;         // in: sums of pieces; out: as `result` says
    device_states<Real const> initial;  // may be absent
    device_states<Real> final;          // may be absent; may be the initial state's own memory
    std::int64_t piece_tokens;
    int feature_dim;
    scan_result result;
    bool all_pieces;  // or the piece that comes last in the order of adding has no sums
    int blocks_a_state;
    std::int64_t first_item;
  };
  struct Shared {};

  /// Values and, as one more column, k_sum.
  static std::int64_t numbers_of(device_shape const& shape, int feature_dim) {
    return std::int64_t{feature_dim} * (shape.value_dim + 1);
  }
  static std::int64_t items(Params const& p) { return p.shape.sequences * p.shape.kv_heads * p.blocks_a_state; }

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const part = item.digit(p.blocks_a_state);
    int const head = item.digit(p.shape.kv_heads);
    std::int64_t const n = item.rest();
    std::int64_t const first = p.shape.first_piece(n, p.piece_tokens);
    device_sequence const sequence = p.shape.sequence(n);
    std::int64_t const tokens = sequence.end - sequence.begin;
    std::int64_t const pieces = tokens > 0 ? (tokens + p.piece_tokens - 1) / p.piece_tokens : 1;
    std::int64_t const total = std::int64_t{p.feature_dim} * (p.shape.value_dim + 1);
    place at[std::size_t{each}];
    Real sum[std::size_t{each}];
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < each; ++i) {
      std::int64_t const number = std::int64_t{part} * numbers + i * kThreads + simt::thread_idx().x;
      at[i] = {static_cast<int>(number / (p.shape.value_dim + 1)), static_cast<int>(number % (p.shape.value_dim + 1)),
               p.shape.value_dim, number < total};
    }
    load_all(sum, at, p.initial.present() ? p.initial.at(n, head) : device_slot<Real const>{});
    add_pieces(p, sum, at, first, head, pieces);
    if (p.result == scan_result::whole) {
      store_all(at, p.pieces.at(first, head), sum);
    }
    if (p.final.present()) {
      store_all(at, p.final.at(n, head), sum);
    }
  }

 private:
  static constexpr int each = numbers / kThreads;

  struct place {
    int feature;
    int value;  // value_dim: k_sum
    int value_dim;
    bool there;

    template <class T>
    LINATTN_DEVICE T* in(device_slot<T> const& slot) const {
      if (!there) {
        return nullptr;
      }
      if (value < value_dim) {
        return slot.kv != nullptr ? slot.kv + feature * slot.feature_stride + value * slot.value_stride : nullptr;
      }
      return slot.k_sum != nullptr ? slot.k_sum + feature * slot.k_sum_stride : nullptr;
    }
  };

  /// Zero where there is nothing.
  template <class T>
  static LINATTN_DEVICE void load_all(Real (&x)[std::size_t{each}], place const (&at)[std::size_t{each}],
                                      device_slot<T> const& from) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < each; ++i) {
      T* const own = at[i].in(from);
      x[i] = own != nullptr ? simt::load(own) : Real(0);
    }
  }
  static LINATTN_DEVICE void store_all(place const (&at)[std::size_t{each}], device_slot<Real> const& to,
                                       Real const (&x)[std::size_t{each}]) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < each; ++i) {
      Real* const own = at[i].in(to);
      if (own != nullptr) {
        simt::store(own, x[i]);
      }
    }
  }

  /// A piece is loaded while the one before is added.
  static LINATTN_DEVICE void add_pieces(Params const& p, Real (&sum)[std::size_t{each}],
                                        place const (&at)[std::size_t{each}], std::int64_t first, int head,
                                        std::int64_t pieces) {
    auto const slot = [&](std::int64_t piece) {
      std::int64_t const n_th = p.result == scan_result::after_piece ? pieces - 1 - piece : piece;
      return p.pieces.at(first + n_th, head);
    };
    std::int64_t const summed = p.all_pieces ? pieces : pieces - 1;
    Real own[std::size_t{each}] = {};
    if (summed > 0) {
      load_all(own, at, slot(0));
    }
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      Real next[std::size_t{each}] = {};
      if (piece + 1 < summed) {
        load_all(next, at, slot(piece + 1));
      }
      store_all(at, slot(piece), sum);  // what went before
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < each; ++i) {
        sum[i] += own[i];
        own[i] = next[i];
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
