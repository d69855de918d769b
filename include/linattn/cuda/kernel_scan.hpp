// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From the sums of each piece to what a piece's queries need: the sum of all earlier pieces and the initial state, in
// their order; and to the final state. Gradients run the other way: `initial` then comes after the last piece. A thread
// follows one number of a state from piece to piece.
#ifndef LINATTN_CUDA_KERNEL_SCAN_HPP
#define LINATTN_CUDA_KERNEL_SCAN_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/simt/simt.hpp>

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
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < numbers; i += kThreads) {
      std::int64_t const number = std::int64_t{part} * numbers + i;
      if (number >= total) {
        return;
      }
      place const at{static_cast<int>(number / (p.shape.value_dim + 1)),
                     static_cast<int>(number % (p.shape.value_dim + 1)), p.shape.value_dim};
      Real sum = Real(0);
      if (p.initial.present()) {
        Real const* const from = at.in(p.initial.at(n, head));
        sum = from != nullptr ? simt::load(from) : Real(0);
      }
      LINATTN_SIMT_NO_UNROLL
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        std::int64_t const n_th = p.result == scan_result::after_piece ? pieces - 1 - piece : piece;
        Real* const own = at.in(p.pieces.at(first + n_th, head));
        if (own != nullptr) {
          Real const before = sum;
          sum += simt::load(own);
          simt::store(own, before);
        }
      }
      if (p.result == scan_result::whole) {
        Real* const own = at.in(p.pieces.at(first, head));
        if (own != nullptr) {
          simt::store(own, sum);
        }
      }
      if (p.final.present()) {
        Real* const to = at.in(p.final.at(n, head));
        if (to != nullptr) {
          simt::store(to, sum);
        }
      }
    }
  }

 private:
  struct place {
    int feature;
    int value;  // value_dim: k_sum
    int value_dim;

    template <class T>
    LINATTN_DEVICE T* in(device_slot<T> const& slot) const {
      if (value < value_dim) {
        return slot.kv != nullptr ? slot.kv + feature * slot.feature_stride + value * slot.value_stride : nullptr;
      }
      return slot.k_sum != nullptr ? slot.k_sum + feature * slot.k_sum_stride : nullptr;
    }
  };
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
