// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// tensor_view: a pointer with extents and strides, never an owner. Index order is always (batch, head, time, channel);
// the memory order is in the factory's name. Any mdspan converts; no mdspan header is needed for that.
#ifndef LINATTN_CORE_TENSOR_VIEW_HPP
#define LINATTN_CORE_TENSOR_VIEW_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/math.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace linattn::inline LINATTN_ABI {

namespace detail {
/// What std::mdspan, cuda::std::mdspan and Kokkos's have in common.
template <class M>
concept MdspanLike = requires(M const& m) {
  { M::rank() } -> std::convertible_to<std::size_t>;
  { m.extent(0) } -> std::convertible_to<std::int64_t>;
  { m.stride(0) } -> std::convertible_to<std::int64_t>;
  m.data_handle();
};
}  // namespace detail

/// A strided view of a tensor. Strides count elements and may be 0 on inputs; the last dimension must be contiguous.
/// A default-constructed view is absent: how an optional argument says "not wanted".
template <class T, std::size_t Rank>
struct tensor_view {
  static_assert(Rank >= 1, "linattn::tensor_view: rank below 1; a view has at least one dimension; name the rank");
  using element_type = T;
  static constexpr int rank = static_cast<int>(Rank);

  T* data = nullptr;
  std::int64_t extents[Rank] = {};
  std::int64_t strides[Rank] = {};

  tensor_view() = default;

  LINATTN_HOST_DEVICE constexpr tensor_view(T* pointer, std::int64_t const (&shape)[Rank],
                                            std::int64_t const (&steps)[Rank]) noexcept
      : data(pointer) {
    for (int i = 0; i < rank; ++i) {
      extents[i] = shape[i];
      strides[i] = steps[i];
    }
  }

  /// Row-major: the last index runs fastest.
  LINATTN_HOST_DEVICE constexpr tensor_view(T* pointer, std::int64_t const (&shape)[Rank]) noexcept : data(pointer) {
    std::int64_t step = 1;
    for (int i = rank - 1; i >= 0; --i) {
      extents[i] = shape[i];
      strides[i] = step;
      step = detail::saturating_multiply(step, shape[i]);
    }
  }

  template <class U>
    requires(!std::same_as<U, T> && std::is_convertible_v<U (*)[], T (*)[]>)
  LINATTN_HOST_DEVICE constexpr tensor_view(tensor_view<U, Rank> const& other) noexcept
      : tensor_view(other.data, other.extents, other.strides) {}

  template <detail::MdspanLike M>
    requires(static_cast<std::size_t>(M::rank()) == Rank &&
             std::is_convertible_v<decltype(std::declval<M const&>().data_handle()), T*>)
  LINATTN_HOST_DEVICE constexpr tensor_view(M const& m) : data(m.data_handle()) {
    for (int i = 0; i < rank; ++i) {
      auto const index = static_cast<std::size_t>(i);
      extents[i] = static_cast<std::int64_t>(m.extent(index));
      strides[i] = static_cast<std::int64_t>(m.stride(index));
    }
  }

  [[nodiscard]] LINATTN_HOST_DEVICE constexpr bool present() const noexcept { return data != nullptr; }

  [[nodiscard]] LINATTN_HOST_DEVICE constexpr std::int64_t size() const noexcept {
    std::int64_t count = 1;
    for (std::int64_t extent : extents) {
      count = detail::saturating_multiply(count, extent);
    }
    return count;
  }

  template <std::integral... Index>
    requires(sizeof...(Index) == Rank)
  LINATTN_HOST_DEVICE constexpr T& operator()(Index... index) const noexcept {
    std::int64_t const indices[Rank] = {static_cast<std::int64_t>(index)...};
    std::int64_t offset = 0;
    for (int i = 0; i < rank; ++i) {
      offset += indices[i] * strides[i];
    }
    return data[offset];
  }
};

/// A contiguous (batch, time, head, channel) tensor in memory, indexed (batch, head, time, channel).
template <class T>
LINATTN_HOST_DEVICE constexpr tensor_view<T, 4> view_bthd(T* data, std::int64_t batch, std::int64_t time,
                                                          std::int64_t heads, std::int64_t channels) noexcept {
  std::int64_t const row = detail::saturating_multiply(heads, channels);
  return {data, {batch, heads, time, channels}, {detail::saturating_multiply(time, row), channels, row, 1}};
}

/// A contiguous (batch, head, time, channel) tensor in memory.
template <class T>
LINATTN_HOST_DEVICE constexpr tensor_view<T, 4> view_bhtd(T* data, std::int64_t batch, std::int64_t heads,
                                                          std::int64_t time, std::int64_t channels) noexcept {
  return {data, {batch, heads, time, channels}};
}

/// Packed sequences, (time, head, channel) in memory: one batch row whose time runs over all of them (see cu_seqlens).
template <class T>
LINATTN_HOST_DEVICE constexpr tensor_view<T, 4> view_thd(T* data, std::int64_t time, std::int64_t heads,
                                                         std::int64_t channels) noexcept {
  return view_bthd(data, 1, time, heads, channels);
}

/// One number a row, (batch, time, head) in memory, indexed (batch, head, time): denominators.
template <class T>
LINATTN_HOST_DEVICE constexpr tensor_view<T, 3> view_bth(T* data, std::int64_t batch, std::int64_t time,
                                                         std::int64_t heads) noexcept {
  return {data, {batch, heads, time}, {detail::saturating_multiply(time, heads), 1, heads}};
}

/// One number a row, (batch, head, time) in memory.
template <class T>
LINATTN_HOST_DEVICE constexpr tensor_view<T, 3> view_bht(T* data, std::int64_t batch, std::int64_t heads,
                                                         std::int64_t time) noexcept {
  return {data, {batch, heads, time}};
}

/// A learnable vector of a feature map: rank 1 (head_dim), shared by all heads, or rank 2 (heads, head_dim).
/// A std::span converts to rank 1; a default-constructed view is absent.
template <class T>
struct parameter_view {
  T* data = nullptr;
  std::int64_t heads = 0;  // 0: rank 1
  std::int64_t size = 0;   // head_dim
  std::int64_t head_stride = 0;
  std::int64_t stride = 1;

  parameter_view() = default;

  template <class U>
    requires(std::is_convertible_v<U (*)[], T (*)[]>)
  LINATTN_HOST_DEVICE constexpr parameter_view(tensor_view<U, 1> const& v) noexcept
      : data(v.data), size(v.extents[0]), stride(v.strides[0]) {}

  template <class U>
    requires(std::is_convertible_v<U (*)[], T (*)[]>)
  LINATTN_HOST_DEVICE constexpr parameter_view(tensor_view<U, 2> const& v) noexcept
      : data(v.data), heads(v.extents[0]), size(v.extents[1]), head_stride(v.strides[0]), stride(v.strides[1]) {}

  template <class U, std::size_t Extent>
    requires(std::is_convertible_v<U (*)[], T (*)[]>)
  constexpr parameter_view(std::span<U, Extent> s) noexcept
      : data(s.data()), size(static_cast<std::int64_t>(s.size())) {}

  template <class U>
    requires(!std::same_as<U, T> && std::is_convertible_v<U (*)[], T (*)[]>)
  LINATTN_HOST_DEVICE constexpr parameter_view(parameter_view<U> const& v) noexcept
      : data(v.data), heads(v.heads), size(v.size), head_stride(v.head_stride), stride(v.stride) {}

  [[nodiscard]] LINATTN_HOST_DEVICE constexpr bool present() const noexcept { return data != nullptr; }

  [[nodiscard]] LINATTN_HOST_DEVICE constexpr T& operator()(int head, int channel) const noexcept {
    return data[head * head_stride + channel * stride];
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
