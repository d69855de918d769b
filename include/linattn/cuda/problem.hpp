// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A call as the kernels see it: tensors, states and sequences on the device, and which piece of work a block takes.
#ifndef LINATTN_CUDA_PROBLEM_HPP
#define LINATTN_CUDA_PROBLEM_HPP

#include <linattn/core/segments.hpp>
#include <linattn/core/tensor_view.hpp>
#include <linattn/simt/simt.hpp>
#include <linattn/state.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// A (batch, head, time, channel) tensor; one number a row has no channels.
template <class T>
struct device_rows {
  T* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t head_stride = 0;
  std::int64_t time_stride = 0;
  bool vectors = false;  // every row begins at a 16-byte boundary

  [[nodiscard]] LINATTN_DEVICE T* row(std::int64_t batch, std::int64_t head, std::int64_t time) const {
    return data + batch * batch_stride + head * head_stride + time * time_stride;
  }
};

template <class T, std::size_t Rank>
device_rows<T> rows_of(tensor_view<T, Rank> const& view) noexcept {
  bool vectors = reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0;
  for (int i = 0; i < 3; ++i) {
    vectors = vectors && (view.extents[i] <= 1 || view.strides[i] * static_cast<std::int64_t>(sizeof(T)) % 16 == 0);
  }
  return {view.data, view.strides[0], view.strides[1], view.strides[2], vectors};
}

/// The state of one (sequence or piece, key head): kv and k_sum with the map's packed features.
template <class Real>
struct device_slot {
  Real* kv = nullptr;
  std::int64_t feature_stride = 0;
  std::int64_t value_stride = 0;
  Real* k_sum = nullptr;
  std::int64_t k_sum_stride = 0;
};

/// States in the caller's memory or in the workspace, one a unit: a sequence or a piece of one.
template <class Real>
struct device_states {
  Real* kv = nullptr;
  std::int64_t kv_strides[4] = {};  // slot, key head, feature, value
  Real* k_sum = nullptr;
  std::int64_t k_sum_strides[3] = {};
  std::int32_t const* slots = nullptr;

  [[nodiscard]] LINATTN_HOST_DEVICE bool present() const { return kv != nullptr || k_sum != nullptr; }

  [[nodiscard]] LINATTN_DEVICE device_slot<Real> at(std::int64_t unit, std::int64_t head) const {
    std::int64_t const slot = slots != nullptr ? std::int64_t{slots[unit]} : unit;
    device_slot<Real> result{nullptr, kv_strides[2], kv_strides[3], nullptr, k_sum_strides[2]};
    if (kv != nullptr) {
      result.kv = kv + slot * kv_strides[0] + head * kv_strides[1];
    }
    if (k_sum != nullptr) {
      result.k_sum = k_sum + slot * k_sum_strides[0] + head * k_sum_strides[1];
    }
    return result;
  }
};

template <class Map, class Real>
device_states<Real> states_of(state_view<Map, Real> const& state) noexcept {
  device_states<Real> result;
  result.kv = state.kv.data;
  result.k_sum = state.k_sum.data;
  for (int i = 0; i < 4; ++i) {
    result.kv_strides[i] = state.kv.strides[i];
  }
  for (int i = 0; i < 3; ++i) {
    result.k_sum_strides[i] = state.k_sum.strides[i];
  }
  result.slots = state.slots.data();
  return result;
}

/// Tokens [begin, end) of a batch row form sequence `index`.
struct device_sequence {
  std::int64_t index = 0;
  std::int64_t batch = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// A piece of a sequence: its place among all pieces, and the tokens [begin, end).
struct device_piece {
  device_sequence sequence{};
  std::int64_t unit = 0;
  std::int64_t index = 0;  // among those of its sequence
  std::int64_t begin = 0;
  std::int64_t end = 0;

  /// A number that no tokens belong to. An empty sequence has one piece, which is none of these.
  [[nodiscard]] LINATTN_DEVICE bool unused() const { return index > 0 && begin >= end; }
  [[nodiscard]] LINATTN_DEVICE bool last() const { return end >= sequence.end; }
  [[nodiscard]] LINATTN_DEVICE int size() const { return static_cast<int>(end - begin); }
};

/// Sizes and masks of a call, and its sequences cut into pieces. The lengths of packed sequences are known on the
/// device only: pieces are numbered so that no host needs them, and some numbers have no tokens.
struct device_shape {
  std::int64_t batch = 0;
  std::int64_t time = 0;
  std::int64_t sequences = 0;
  int heads = 0;
  int kv_heads = 0;
  int value_dim = 0;
  bool causal = true;
  bool tiled = false;
  sequence_offsets offsets{};

  [[nodiscard]] LINATTN_HOST_DEVICE int group() const { return kv_heads > 0 ? heads / kv_heads : 0; }
  [[nodiscard]] LINATTN_HOST_DEVICE int kv_head_of(int head) const { return tiled ? head % kv_heads : head / group(); }
  /// The member-th query head that reads this key head.
  [[nodiscard]] LINATTN_HOST_DEVICE int query_head(int kv_head, int member) const {
    return tiled ? member * kv_heads + kv_head : kv_head * group() + member;
  }

  [[nodiscard]] LINATTN_HOST_DEVICE device_sequence sequence(std::int64_t n) const {
    if (offsets.present()) {
      return {n, 0, offsets[n], offsets[n + 1]};
    }
    return {n, n, 0, time};
  }

  /// The number of the first piece of sequence n, when pieces have `tokens` tokens. A sequence has at least one piece.
  [[nodiscard]] LINATTN_HOST_DEVICE std::int64_t first_piece(std::int64_t n, std::int64_t tokens) const {
    return offsets.present() ? offsets[n] / tokens + n : n * pieces_of(time, tokens);
  }
  /// One past the last number of a piece; known on the host.
  [[nodiscard]] LINATTN_HOST_DEVICE std::int64_t pieces(std::int64_t tokens) const {
    return offsets.present() ? time / tokens + sequences : sequences * pieces_of(time, tokens);
  }
  /// Piece number `unit`; past the last token of its sequence it is empty.
  [[nodiscard]] LINATTN_DEVICE device_piece piece(std::int64_t unit, std::int64_t tokens) const {
    std::int64_t low = 0;
    std::int64_t high = sequences;
    if (!offsets.present()) {
      low = unit / pieces_of(time, tokens);
      high = low + 1;
    }
    while (high - low > 1) {
      std::int64_t const middle = (low + high) / 2;
      if (first_piece(middle, tokens) <= unit) {
        low = middle;
      } else {
        high = middle;
      }
    }
    device_piece result{sequence(low), unit, unit - first_piece(low, tokens), 0, 0};
    std::int64_t const begin = result.sequence.begin + result.index * tokens;
    result.begin = begin < result.sequence.end ? begin : result.sequence.end;
    result.end = result.sequence.end - result.begin > tokens ? result.begin + tokens : result.sequence.end;
    return result;
  }

 private:
  static LINATTN_HOST_DEVICE std::int64_t pieces_of(std::int64_t tokens, std::int64_t size) {
    return tokens > 0 ? (tokens + size - 1) / size : 1;
  }
};

/// Which keys a query meets one by one; the rest is in the state.
enum class pairs_with : std::uint8_t {
  piece_up_to_query,  // causal
  sequence,           // not causal, parallel
  nothing             // not causal, chunkwise: the state holds the whole sequence
};

struct token_span {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// The tokens whose pairs with those of a tile count; the tile lies in piece number `piece` of its sequence. Mirrored:
/// the tile holds keys, and the tokens are queries.
template <bool Mirrored>
LINATTN_DEVICE token_span partners(device_piece const& tile, pairs_with pairs, std::int64_t piece,
                                   std::int64_t piece_tokens) {
  device_sequence const& sequence = tile.sequence;
  if (pairs == pairs_with::nothing) {
    return {};
  }
  if (pairs == pairs_with::sequence) {
    return {sequence.begin, sequence.end};
  }
  std::int64_t const begin = sequence.begin + piece * piece_tokens;
  if constexpr (Mirrored) {
    return {tile.begin, sequence.end - begin > piece_tokens ? begin + piece_tokens : sequence.end};
  }
  return {begin, tile.end};
}

template <class Args>
device_shape shape_of(Args const& args) noexcept {
  device_shape shape;
  shape.batch = args.q.extents[0];
  shape.heads = static_cast<int>(args.q.extents[1]);
  shape.kv_heads = static_cast<int>(args.k.extents[1]);
  shape.time = args.q.extents[2];
  shape.sequences = shape.batch;
  shape.value_dim = static_cast<int>(args.v.extents[3]);
  shape.tiled = args.heads == head_map::tiled;
  if constexpr (requires { args.cu_seqlens; }) {
    shape.causal = args.causal;
    shape.offsets = args.cu_seqlens;
    shape.sequences = shape.offsets.present() ? shape.offsets.sequences() : shape.batch;
  }
  return shape;
}

/// Takes the digits of a block's number one by one, the fastest first.
class work_item {
 public:
  explicit LINATTN_DEVICE work_item(std::int64_t number) : left_(number) {}
  LINATTN_DEVICE int digit(int size) {
    int const value = static_cast<int>(left_ % size);
    left_ /= size;
    return value;
  }
  [[nodiscard]] LINATTN_DEVICE std::int64_t rest() const { return left_; }

 private:
  std::int64_t left_;
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
