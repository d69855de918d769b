// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of a tensor in and out of the engine's buffers: element types are converted here and nowhere else, rows are
// gathered by their strides, transposed to one lane a token, cut into value panels.
#ifndef LINATTN_CPU_ROWS_HPP
#define LINATTN_CPU_ROWS_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/element.hpp>
#include <linattn/cpu/f16_vectors.hpp>
#include <linattn/cpu/microkernel.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// The rows of one (batch, head): row t is `channels` numbers at data + t * stride. The element type is a run-time
/// value, so that one compiled engine serves float, bf16 and f16.
struct row_source {
  void const* data = nullptr;
  std::int64_t stride = 0;
  element_kind kind = element_kind::float32;
  int channels = 0;
};

struct row_target {
  void* data = nullptr;
  std::int64_t stride = 0;
  element_kind kind = element_kind::float32;
  int channels = 0;
};

/// Calls f with a null pointer of the element type; only types that accumulate in Real can occur.
template <class Real, class F>
LINATTN_ALWAYS_INLINE void with_element(element_kind kind, F&& f) {
  if constexpr (std::is_same_v<Real, double>) {
    f(static_cast<double*>(nullptr));
  } else {
    switch (kind) {
      case element_kind::bfloat16:
        return f(static_cast<bf16*>(nullptr));
      case element_kind::float16:
        return f(static_cast<f16*>(nullptr));
      default:
        return f(static_cast<float*>(nullptr));
    }
  }
}

constexpr int element_bytes(element_kind kind) noexcept {
  return kind == element_kind::float64 ? 8 : (kind == element_kind::float32 ? 4 : 2);
}

/// Adds rows from `begin` on, columns [column, column + columns), to those that are fetched ahead.
inline void prefetch_rows(row_prefetcher& prefetch, row_source const& rows, std::int64_t begin, int column,
                          int columns) noexcept {
  if (columns > 0 && rows.data != nullptr) {  // an empty tensor may be null
    int const bytes = element_bytes(rows.kind);
    prefetch.add(static_cast<char const*>(rows.data) + (begin * rows.stride + column) * bytes, rows.stride * bytes,
                 std::ptrdiff_t{columns} * bytes);
  }
}

/// Copies rows [begin, begin + count), columns [column, column + columns) to dst, converting; columns beyond the row's
/// channels are zero. Rows from count up to `rows` repeat the last one, so that idle lanes hold ordinary numbers.
template <class Real>
LINATTN_NEVER_INLINE void copy_rows(row_source const& source, std::int64_t begin, int count, int rows, int column,
                                    int columns, Real* dst, std::ptrdiff_t dst_stride) {
  int const filled = (std::max)(0, (std::min)(columns, source.channels - column));
  with_element<Real>(source.kind, [&](auto* type) {
    using element = std::remove_pointer_t<decltype(type)>;
    auto const* const data = static_cast<element const*>(source.data);
    for (int t = 0; t < rows; ++t) {
      Real* const to = dst + t * dst_stride;
      element const* const row =
          filled > 0 ? data + (begin + (std::min)(t, count - 1)) * source.stride + column : data;  // may be null
      int i = 0;
      if constexpr (std::is_same_v<element, Real>) {
        for (; i + simd<Real>::width <= filled; i += simd<Real>::width) {
          simd<Real>::load(row + i).store(to + i);
        }
      } else if constexpr (has_f16_vectors<Real, element>) {
        for (; i + simd<Real>::width <= filled; i += simd<Real>::width) {
          load_f16(row + i).store(to + i);
        }
      }
      for (; i < filled; ++i) {
        to[i] = static_cast<Real>(row[i]);
      }
      for (; i < columns; ++i) {
        to[i] = Real(0);
      }
    }
  });
}

/// Writes `count` rows of numbers to rows [begin, begin + count), columns [column, ...), converting.
template <class Real>
LINATTN_NEVER_INLINE void write_rows(row_target const& target, std::int64_t begin, int count, int column, int columns,
                                     Real const* src, std::ptrdiff_t src_stride) {
  int const filled = (std::min)(columns, target.channels - column);
  if (filled <= 0) {
    return;  // an empty tensor may be null
  }
  with_element<Real>(target.kind, [&](auto* type) {
    using element = std::remove_pointer_t<decltype(type)>;
    auto* const data = static_cast<element*>(target.data);
    for (int t = 0; t < count; ++t) {
      element* const row = data + (begin + t) * target.stride + column;
      Real const* const from = src + t * src_stride;
      int i = 0;
      if constexpr (has_f16_vectors<Real, element>) {
        for (; i + simd<Real>::width <= filled; i += simd<Real>::width) {
          store_f16(simd<Real>::load(from + i), row + i);
        }
      }
      for (; i < filled; ++i) {
        row[i] = static_cast<element>(from[i]);
      }
    }
  });
}

/// dst[c * dst_stride + t] = src[t * src_stride + c] for t < rows, c < columns; both padded to multiples of the width.
template <class Real>
LINATTN_NEVER_INLINE void transpose_rows(Real const* src, std::ptrdiff_t src_stride, int rows, int columns, Real* dst,
                                         std::ptrdiff_t dst_stride) {
  using vector = simd<Real>;
  constexpr int width = vector::width;
  for (int t = 0; t < rows; t += width) {
    for (int c = 0; c < columns; c += width) {
      array_of<vector, width> block;
      LINATTN_UNROLL
      for (int i = 0; i < width; ++i) {
        block[i] = vector::load(src + (t + i) * src_stride + c);
      }
      transpose<Real>(block);
      int const used = (std::min)(width, columns - c);
      if (used == width) {
        LINATTN_UNROLL
        for (int i = 0; i < width; ++i) {
          block[i].store(dst + (c + i) * dst_stride + t);
        }
      } else {
        for (int i = 0; i < used; ++i) {
          block[i].store(dst + (c + i) * dst_stride + t);
        }
      }
    }
  }
}

/// The value columns [begin, end) of a call, cut into panels one register tile wide; the last one may be narrower.
/// A panel of `rows` rows is row-major and starts at (its first column) * rows of the buffer.
struct value_columns {
  int begin = 0;
  int end = 0;     // of the tensor
  int padded = 0;  // end - begin, rounded up to the vector width
  int panel = 1;   // columns of a panel

  [[nodiscard]] int panels() const noexcept { return (padded + panel - 1) / panel; }

  template <class F>
  LINATTN_ALWAYS_INLINE void for_each_panel(F&& f) const {
    for (int column = 0; column < padded; column += panel) {
      f(column, (std::min)(panel, padded - column));
    }
  }
};

/// Loads rows as value panels of `rows` rows each.
template <class Real>
void load_panels(row_source const& source, std::int64_t begin, int count, value_columns const& columns, int rows,
                 Real* panels) {
  columns.for_each_panel([&](int column, int width) {
    copy_rows(source, begin, count, count, columns.begin + column, width,
              panels + static_cast<std::ptrdiff_t>(column) * rows, width);
  });
}

/// Stores the first `count` rows of value panels of `rows` rows each.
template <class Real>
void store_panels(row_target const& target, std::int64_t begin, int count, value_columns const& columns, int rows,
                  Real const* panels) {
  columns.for_each_panel([&](int column, int width) {
    write_rows(target, begin, count, columns.begin + column, width, panels + static_cast<std::ptrdiff_t>(column) * rows,
               width);
  });
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
