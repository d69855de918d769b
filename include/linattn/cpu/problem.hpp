// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A call of a verb as the CPU engine sees it: shapes, and tensors without their element types. One compiled pass serves
// float, bf16 and f16 (or double), every strategy, every normalizer.
#ifndef LINATTN_CPU_PROBLEM_HPP
#define LINATTN_CPU_PROBLEM_HPP

#include <linattn/core/element.hpp>
#include <linattn/core/segments.hpp>
#include <linattn/core/tensor_view.hpp>
#include <linattn/cpu/rows.hpp>
#include <linattn/cpu/simd.hpp>
#include <linattn/state.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// A (batch, head, time, channel) tensor without its type; writable ones come from non-const views.
struct tensor_rows {
  void* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t head_stride = 0;
  std::int64_t time_stride = 0;
  element_kind kind = element_kind::float32;
  int channels = 0;

  [[nodiscard]] bool present() const noexcept { return data != nullptr; }
  [[nodiscard]] void* row(std::int64_t batch, std::int64_t head) const noexcept {
    if (data == nullptr) {
      return nullptr;  // an empty tensor may be null, and null has no offsets
    }
    return static_cast<std::byte*>(data) + (batch * batch_stride + head * head_stride) * element_bytes(kind);
  }
  [[nodiscard]] row_source source(std::int64_t batch, std::int64_t head) const noexcept {
    return {row(batch, head), time_stride, kind, channels};
  }
  [[nodiscard]] row_target target(std::int64_t batch, std::int64_t head) const noexcept {
    return {row(batch, head), time_stride, kind, channels};
  }
};

/// Constness is dropped here and kept by use: inputs are only ever read, through source().
template <class T>
tensor_rows erase_rows(tensor_view<T, 4> const& view) noexcept {
  using element = std::remove_const_t<T>;
  return {const_cast<element*>(view.data),    view.strides[0], view.strides[1], view.strides[2],
          element_kind_of<element>, static_cast<int>(view.extents[3])};
}

/// One number a (batch, head, time).
template <class T>
tensor_rows erase_rows(tensor_view<T, 3> const& view) noexcept {
  using element = std::remove_const_t<T>;
  return {const_cast<element*>(view.data), view.strides[0], view.strides[1], view.strides[2],
          element_kind_of<element>, 1};
}

/// The normalizer without its type, applied to a tile of denominators at once.
template <class Real>
struct normalizer_ref {
  void const* self = nullptr;
  bool needs_denominator = false;
  void (*apply)(void const* self, Real const* den, Real* scale, Real* scale_grad, int count) = nullptr;
};

template <class Real, class Norm>
normalizer_ref<Real> erase_normalizer(Norm const& normalizer) noexcept {
  return {&normalizer, Norm::needs_denominator,
          [](void const* self, Real const* den, Real* scale, Real* scale_grad, int count) {
            auto const& norm = *static_cast<Norm const*>(self);
            for (int i = 0; i < count; ++i) {
              scale[i] = static_cast<Real>(norm.scale(den[i]));
              scale_grad[i] = static_cast<Real>(norm.scale_grad(den[i]));
            }
          }};
}

/// A stretch of one batch row's time axis.
struct token_range {
  std::int64_t batch = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  [[nodiscard]] std::int64_t size() const noexcept { return end - begin; }
};

/// Sizes and masks of a call.
struct call_shape {
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t time = 0;
  std::int64_t sequences = 0;
  int value_dim = 0;
  bool causal = true;
  head_map map = head_map::grouped;
  sequence_offsets offsets{};

  [[nodiscard]] int group() const noexcept { return kv_heads > 0 ? static_cast<int>(heads / kv_heads) : 0; }

  /// The member-th query head that reads this key head.
  [[nodiscard]] std::int64_t query_head(std::int64_t kv_head, int member) const noexcept {
    return map == head_map::grouped ? kv_head * group() + member : member * kv_heads + kv_head;
  }

  [[nodiscard]] token_range sequence(std::int64_t n) const noexcept {
    if (offsets.present()) {
      return {0, offsets[n], offsets[n + 1]};
    }
    return {n, 0, time};
  }

  [[nodiscard]] std::int64_t longest_sequence() const noexcept {
    std::int64_t longest = offsets.present() ? 0 : time;
    for (std::int64_t n = 0; offsets.present() && n < sequences; ++n) {
      longest = longest < sequence(n).size() ? sequence(n).size() : longest;
    }
    return longest;
  }
};

template <class Args>
call_shape shape_of(Args const& args) noexcept {
  call_shape shape;
  shape.batch = args.q.extents[0];
  shape.heads = args.q.extents[1];
  shape.kv_heads = args.k.extents[1];
  shape.time = args.q.extents[2];
  shape.sequences = shape.batch;
  shape.value_dim = static_cast<int>(args.v.extents[3]);
  shape.map = args.heads;
  if constexpr (requires { args.cu_seqlens; }) {
    shape.causal = args.causal;
    shape.offsets = args.cu_seqlens;
    shape.sequences = shape.offsets.present() ? shape.offsets.sequences() : shape.batch;
  }
  return shape;
}

/// The state of one (sequence, key head) in the user's memory.
template <class Real>
struct state_slot {
  Real* kv = nullptr;
  std::int64_t feature_stride = 0;
  std::int64_t value_stride = 0;
  Real* k_sum = nullptr;
  std::int64_t k_sum_stride = 0;
};

/// A state view without its map.
template <class Real>
struct state_tensors {
  tensor_view<Real, 4> kv{};
  tensor_view<Real, 3> k_sum{};
  std::span<std::int32_t const> slots{};

  [[nodiscard]] bool present() const noexcept { return kv.present() || k_sum.present(); }
};

template <class Map, class Real>
state_tensors<Real> erase_state(state_view<Map, Real> const& state) noexcept {
  return {state.kv, state.k_sum, state.slots};
}

template <class Real>
state_slot<Real> slot_of(state_tensors<Real> const& state, std::int64_t sequence, std::int64_t head) noexcept {
  std::int64_t const slot =
      state.slots.empty() ? sequence : std::int64_t{state.slots[static_cast<std::size_t>(sequence)]};
  state_slot<Real> result;
  if (state.kv.present()) {
    result.kv = state.kv.data + slot * state.kv.strides[0] + head * state.kv.strides[1];
    result.feature_stride = state.kv.strides[2];
    result.value_stride = state.kv.strides[3];
  }
  if (state.k_sum.present()) {
    result.k_sum = state.k_sum.data + slot * state.k_sum.strides[0] + head * state.k_sum.strides[1];
    result.k_sum_stride = state.k_sum.strides[2];
  }
  return result;
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
