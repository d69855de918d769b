// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checks on views: extents, strides, overflow, aliasing. Every function reports the first problem it finds and touches
// no element. What a verb requires of its arguments is put together in validate.hpp.
#ifndef LINATTN_CORE_VALIDATE_HPP
#define LINATTN_CORE_VALIDATE_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace linattn::inline LINATTN_ABI::detail {

/// A view without its types: what the checks need, compiled once for all views.
struct erased_view {
  static constexpr int max_rank = 4;
  char const* name;
  std::uintptr_t address;
  int rank;
  std::int64_t element_bytes;
  std::int64_t extents[max_rank];
  std::int64_t strides[max_rank];

  [[nodiscard]] bool empty() const noexcept {
    for (int i = 0; i < rank; ++i) {
      if (extents[i] == 0) {
        return true;
      }
    }
    return false;
  }
};

template <class T, std::size_t Rank>
erased_view erase(char const* name, tensor_view<T, Rank> const& view) noexcept {
  erased_view erased{name, reinterpret_cast<std::uintptr_t>(view.data), view.rank, static_cast<std::int64_t>(sizeof(T)),
                     {}, {}};
  for (int i = 0; i < view.rank; ++i) {
    erased.extents[i] = view.extents[i];
    erased.strides[i] = view.strides[i];
  }
  return erased;
}

inline std::int64_t magnitude(std::int64_t value) noexcept { return value < 0 ? -value : value; }

/// The bytes that a view reaches below and above its pointer; false if they overflow.
inline bool footprint(erased_view const& view, std::int64_t& below, std::int64_t& above) noexcept {
  constexpr std::int64_t limit = (std::numeric_limits<std::int64_t>::max)() / 4;
  below = 0;
  above = view.element_bytes;
  for (int i = 0; i < view.rank; ++i) {
    if (view.extents[i] <= 1) {
      continue;
    }
    std::int64_t const reach =
        saturating_multiply(saturating_multiply(view.extents[i] - 1, magnitude(view.strides[i])), view.element_bytes);
    if (reach >= limit || below >= limit || above >= limit) {
      return false;
    }
    (view.strides[i] < 0 ? below : above) += reach;
  }
  return below < limit && above < limit;
}

/// The view is well formed by itself: sizes, memory, strides.
inline bool check_view(diagnostic& report, erased_view const& view, bool contiguous_rows = true) noexcept {
  constexpr std::int64_t smallest = (std::numeric_limits<std::int64_t>::min)();
  std::int64_t size = 1;
  for (int i = 0; i < view.rank; ++i) {
    if (view.extents[i] < 0) {
      return report.fail(view.name, " has a negative extent, ", view.extents[i], " in dimension ", i,
                         "; extents from 0 on; check the sizes passed to the view");
    }
    if (view.strides[i] == smallest) {
      return report.fail(view.name, " overflows: a stride of ", view.strides[i],
                         "; views that fit the address space; check the strides");
    }
    size = saturating_multiply(size, view.extents[i]);
  }
  if (view.empty()) {
    return true;
  }
  std::int64_t below = 0;
  std::int64_t above = 0;
  if (saturating_multiply(size, view.element_bytes) == (std::numeric_limits<std::int64_t>::max)() ||
      !footprint(view, below, above)) {
    return report.fail(view.name, " overflows: its extents or strides exceed the address space",
                       "; views that fit the address space; check the sizes");
  }
  if (view.address == 0) {
    return report.fail(view.name, " is null, with elements to read or write",
                       "; null is accepted for empty or optional tensors; pass the data pointer");
  }
  if (contiguous_rows && view.extents[view.rank - 1] > 1 && view.strides[view.rank - 1] != 1) {
    return report.fail(view.name, " has a stride of ", view.strides[view.rank - 1],
                       " in its last dimension; 1 is accepted, any stride elsewhere; transpose the data or the view");
  }
  return true;
}

/// Every element of an output has memory of its own. Dimensions must nest: sorted by stride, each one must step over
/// all that the smaller ones reach.
inline bool check_output(diagnostic& report, erased_view const& view) noexcept {
  if (view.empty()) {
    return true;
  }
  bool used[erased_view::max_rank] = {};
  std::int64_t reach = 1;  // elements covered so far
  for (int step = 0; step < view.rank; ++step) {
    int next = -1;
    for (int i = 0; i < view.rank; ++i) {
      if (!used[i] && (next < 0 || magnitude(view.strides[i]) < magnitude(view.strides[next]))) {
        next = i;
      }
    }
    used[next] = true;
    if (view.extents[next] <= 1) {
      continue;
    }
    if (magnitude(view.strides[next]) < reach) {
      return report.fail(view.name, " is written through a stride of ", view.strides[next], " in dimension ", next,
                         "; outputs need distinct elements, strides of 0 are for inputs; give it memory of its own");
    }
    reach += (view.extents[next] - 1) * magnitude(view.strides[next]);
  }
  return true;
}

/// Inner reach in elements of the dimensions whose stride is below `period`; -1 if a larger one is no multiple of it.
inline std::int64_t inner_reach(erased_view const& view, std::int64_t period) noexcept {
  std::int64_t reach = 1;
  for (int i = 0; i < view.rank; ++i) {
    if (view.extents[i] <= 1) {
      continue;
    }
    if (view.strides[i] < 0) {
      return -1;
    }
    if (view.strides[i] < period) {
      reach += (view.extents[i] - 1) * view.strides[i];
    } else if (view.strides[i] % period != 0) {
      return -1;
    }
  }
  return reach;
}

/// Whether two views certainly share no element: their ranges are apart, or they interleave within a common period, as
/// the slices of one fused tensor do.
inline bool disjoint(erased_view const& a, erased_view const& b) noexcept {
  std::int64_t a_below = 0;
  std::int64_t a_above = 0;
  std::int64_t b_below = 0;
  std::int64_t b_above = 0;
  if (a.empty() || b.empty() || a.address == 0 || b.address == 0 || !footprint(a, a_below, a_above) ||
      !footprint(b, b_below, b_above)) {
    return true;
  }
  std::uintptr_t const a_begin = a.address - static_cast<std::uintptr_t>(a_below);
  std::uintptr_t const b_begin = b.address - static_cast<std::uintptr_t>(b_below);
  if (a.address + static_cast<std::uintptr_t>(a_above) <= b_begin ||
      b.address + static_cast<std::uintptr_t>(b_above) <= a_begin) {
    return true;
  }
  if (a.element_bytes != b.element_bytes || a_below != 0 || b_below != 0) {
    return false;
  }
  bool const a_first = a.address <= b.address;
  std::uintptr_t const gap = a_first ? b.address - a.address : a.address - b.address;
  if (gap % static_cast<std::uintptr_t>(a.element_bytes) != 0) {
    return false;
  }
  std::int64_t const distance = static_cast<std::int64_t>(gap) / a.element_bytes;
  erased_view const& low = a_first ? a : b;
  erased_view const& high = a_first ? b : a;
  for (int i = 0; i < low.rank; ++i) {
    std::int64_t const period = low.strides[i];
    if (period <= 1 || low.extents[i] <= 1) {
      continue;
    }
    std::int64_t const low_reach = inner_reach(low, period);
    std::int64_t const high_reach = inner_reach(high, period);
    std::int64_t const offset = distance % period;
    if (low_reach > 0 && high_reach > 0 && low_reach <= offset && offset + high_reach <= period) {
      return true;
    }
  }
  return false;
}

inline bool check_disjoint(diagnostic& report, erased_view const& output, erased_view const& other) noexcept {
  if (!disjoint(output, other)) {
    return report.fail(output.name, " overlaps ", other.name,
                       "; outputs share no memory with other tensors; give it memory of its own");
  }
  return true;
}

/// The view's extents are the expected ones; `shape` describes them in the message.
inline bool check_extents(diagnostic& report, erased_view const& view, std::int64_t const* expected,
                          char const* shape) noexcept {
  for (int i = 0; i < view.rank; ++i) {
    if (view.extents[i] != expected[i]) {
      return report.fail(view.name, " has extent ", view.extents[i], " in dimension ", i, " of ", shape, "; ",
                         expected[i], " is accepted; pass tensors of one batch, time and head count");
    }
  }
  return true;
}

}  // namespace linattn::inline LINATTN_ABI::detail

#endif
