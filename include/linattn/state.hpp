// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The state of a linear attention, typed by its feature map: kv = sum_j phi(k_j) v_j^T and k_sum = sum_j phi(k_j).
// state_view points at one, host_state owns one. The order of the features is the map's own, packed;
// state_order.hpp converts to other orders and state_io.hpp saves and loads.
#ifndef LINATTN_STATE_HPP
#define LINATTN_STATE_HPP

#include <linattn/core/aligned_allocator.hpp>
#include <linattn/core/concepts.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/tensor_view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace linattn::inline LINATTN_ABI {

/// The memory order of the last two dimensions of kv: (feature, value), as flash-linear-attention keeps it, or
/// (value, feature), as FlashInfer does. The index order is (feature, value) in both.
enum class state_layout : std::uint8_t { feature_major, value_major };

/// Points at the states of a batch. Sums are kept in float (double for double elements).
/// Shapes  kv (slots, kv_heads, feature_dim, value_dim), k_sum (slots, kv_heads, feature_dim); any strides.
///         `slots` says which slot each batch row owns (a pool of states); empty: row n owns slot n.
template <FeatureMap Map, class Real = float>
struct state_view {
  using map_type = Map;
  tensor_view<Real, 4> kv{};
  tensor_view<Real, 3> k_sum{};
  std::span<std::int32_t const> slots{};

  state_view() = default;
  constexpr state_view(tensor_view<Real, 4> const& kv_view, tensor_view<Real, 3> const& k_sum_view,
                       std::span<std::int32_t const> slot_indices = {}) noexcept
      : kv(kv_view), k_sum(k_sum_view), slots(slot_indices) {}
  template <class Other>
    requires(std::is_same_v<Real, Other const>)
  constexpr state_view(state_view<Map, Other> const& other) noexcept
      : kv(other.kv), k_sum(other.k_sum), slots(other.slots) {}

  [[nodiscard]] constexpr bool present() const noexcept { return kv.present() || k_sum.present(); }
};

/// A view of contiguous memory: kv in the given layout, k_sum (slots, kv_heads, feature_dim).
template <FeatureMap Map, class Real>
constexpr state_view<Map, Real> view_state(Real* kv, Real* k_sum, std::int64_t slots, std::int64_t kv_heads,
                                           std::int64_t value_dim,
                                           state_layout layout = state_layout::feature_major) noexcept {
  constexpr std::int64_t features = Map::feature_dim;
  std::int64_t const head_stride = detail::saturating_multiply(features, value_dim);
  std::int64_t const slot_stride = detail::saturating_multiply(kv_heads, head_stride);
  bool const feature_major = layout == state_layout::feature_major;
  return {tensor_view<Real, 4>{kv,
                               {slots, kv_heads, features, value_dim},
                               {slot_stride, head_stride, feature_major ? value_dim : 1, feature_major ? 1 : features}},
          tensor_view<Real, 3>{k_sum, {slots, kv_heads, features}}};
}

/// Owns the states of a batch on the host; starts at zero.
/// Throws  shape_error if a size is negative or the sizes overflow.
template <FeatureMap Map, class Real = float>
class host_state {
 public:
  host_state(std::int64_t batch, std::int64_t kv_heads, std::int64_t value_dim,
             state_layout layout = state_layout::feature_major)
      : batch_(batch), kv_heads_(kv_heads), value_dim_(value_dim), layout_(layout) {
    std::int64_t const rows = detail::saturating_multiply(batch, kv_heads);
    // Bounds kv and k_sum, each by itself: value_dim + 1 would overflow where value_dim is the largest number.
    std::int64_t const columns = detail::saturating_multiply(Map::feature_dim, (std::max)(value_dim, std::int64_t{1}));
    std::int64_t const total = detail::saturating_multiply(rows, columns);
    constexpr std::int64_t limit = (std::numeric_limits<std::int64_t>::max)() / static_cast<std::int64_t>(sizeof(Real));
    if (batch < 0 || kv_heads < 0 || value_dim < 0 || value_dim >= limit || total >= limit) {
      diagnostic report("host_state");
      report.fail("batch ", batch, ", kv_heads ", kv_heads, ", value_dim ", value_dim,
                  "; sizes from 0 on whose product fits the address space; check the sizes");
      detail::raise_unless_ok(report);
    }
    kv_.assign(static_cast<std::size_t>(rows * Map::feature_dim * value_dim), Real(0));
    k_sum_.assign(static_cast<std::size_t>(rows * Map::feature_dim), Real(0));
  }

  [[nodiscard]] state_view<Map, Real> view() noexcept {
    return view_state<Map>(kv_.data(), k_sum_.data(), batch_, kv_heads_, value_dim_, layout_);
  }
  [[nodiscard]] state_view<Map, Real const> view() const noexcept {
    return view_state<Map>(kv_.data(), k_sum_.data(), batch_, kv_heads_, value_dim_, layout_);
  }

  void clear() noexcept {
    std::fill(kv_.begin(), kv_.end(), Real(0));
    std::fill(k_sum_.begin(), k_sum_.end(), Real(0));
  }

  [[nodiscard]] std::int64_t batch() const noexcept { return batch_; }
  [[nodiscard]] std::int64_t kv_heads() const noexcept { return kv_heads_; }
  [[nodiscard]] std::int64_t value_dim() const noexcept { return value_dim_; }
  [[nodiscard]] state_layout layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return (kv_.size() + k_sum_.size()) * sizeof(Real); }

  /// The numbers in memory order: kv in layout(), then k_sum.
  [[nodiscard]] std::span<Real> kv_data() noexcept { return kv_; }
  [[nodiscard]] std::span<Real const> kv_data() const noexcept { return kv_; }
  [[nodiscard]] std::span<Real> k_sum_data() noexcept { return k_sum_; }
  [[nodiscard]] std::span<Real const> k_sum_data() const noexcept { return k_sum_; }

 private:
  std::int64_t batch_;
  std::int64_t kv_heads_;
  std::int64_t value_dim_;
  state_layout layout_;
  std::vector<Real, detail::aligned_allocator<Real>> kv_;
  std::vector<Real, detail::aligned_allocator<Real>> k_sum_;
};

}  // namespace linattn::inline LINATTN_ABI

#endif
