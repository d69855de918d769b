// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The one matrix product of the CPU backend, C = A B on register tiles: A is broadcast, B is loaded as vectors. Scores,
// A V, phi(Q) S, the state's update and the gradients are all this product. It knows nothing of attention.
#ifndef LINATTN_CPU_MICROKERNEL_HPP
#define LINATTN_CPU_MICROKERNEL_HPP

#include <linattn/core/config.hpp>
#include <linattn/cpu/simd.hpp>

#include <cstddef>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// A register tile: tile_rows x tile_vectors accumulators leave room for one row of B and one broadcast.
inline constexpr int tile_rows = 6;
inline constexpr int tile_vectors = LINATTN_VECTOR_REGISTERS >= 32 ? 4 : 2;

/// Columns of a value panel: what one register tile is wide.
template <class Real>
inline constexpr int panel_columns = tile_vectors * simd<Real>::width;

/// Touches the rows that the next chunk will read, one a call, so that the memory works while the tiles compute.
struct row_prefetcher {
  static constexpr int max_streams = 4;
  struct stream {
    char const* next = nullptr;
    std::ptrdiff_t stride = 0;
    std::ptrdiff_t bytes = 0;
  };
  stream streams[max_streams] = {};
  int rows_left = 0;

  void clear_streams() noexcept {
    for (stream& s : streams) {
      s = {};
    }
  }

  LINATTN_ALWAYS_INLINE void touch_row() {
#if LINATTN_VECTOR_EXTENSIONS
    if (rows_left <= 0) {
      return;
    }
    --rows_left;
    for (stream& s : streams) {
      for (std::ptrdiff_t i = 0; i < s.bytes; i += 64) {
        __builtin_prefetch(s.next + i);
      }
      s.next += rows_left > 0 ? s.stride : 0;
    }
#endif
  }
};

/// Where the rows of A lie: [row][depth], or [depth][row].
enum class a_order { row_major, depth_major };

template <class Real>
struct matrix_a {
  Real const* data;
  std::ptrdiff_t stride;
};

/// What becomes of a finished product.
template <class Real>
struct matrix_c {
  Real* data;
  std::ptrdiff_t stride;
  bool accumulate = false;
  /// If set: local += product, data = base + local. A segment's sum then has the same bits wherever the segment began
  /// to be computed. Same stride as data.
  Real* local = nullptr;
  Real const* base = nullptr;
};

template <a_order Order, std::size_t Rows, std::size_t Vectors, class Real>
LINATTN_ALWAYS_INLINE void multiply_tile(simd<Real> (&c)[Rows][Vectors], matrix_a<Real> a, Real const* LINATTN_RESTRICT b,
                                         std::ptrdiff_t b_stride, int depth) {
  using vector = simd<Real>;
  std::ptrdiff_t const row_step = Order == a_order::row_major ? a.stride : 1;
  std::ptrdiff_t const depth_step = Order == a_order::row_major ? 1 : a.stride;
  LINATTN_UNROLL_2
  for (int k = 0; k < depth; ++k) {
    vector row[Vectors];
    LINATTN_UNROLL
    for (int n = 0; n < static_cast<int>(Vectors); ++n) {
      row[n] = vector::load(b + n * vector::width);
    }
    LINATTN_UNROLL
    for (int m = 0; m < static_cast<int>(Rows); ++m) {
      vector const x(a.data[m * row_step]);
      LINATTN_UNROLL
      for (int n = 0; n < static_cast<int>(Vectors); ++n) {
        c[m][n] = multiply_add(x, row[n], c[m][n]);
      }
    }
    a.data += depth_step;
    b += b_stride;
  }
}

template <std::size_t Rows, std::size_t Vectors, class Real>
LINATTN_ALWAYS_INLINE void finish_tile(simd<Real> (&c)[Rows][Vectors], matrix_c<Real> const& to, std::ptrdiff_t offset) {
  using vector = simd<Real>;
  LINATTN_UNROLL
  for (int m = 0; m < static_cast<int>(Rows); ++m) {
    LINATTN_UNROLL
    for (int n = 0; n < static_cast<int>(Vectors); ++n) {
      std::ptrdiff_t const at = offset + m * to.stride + n * vector::width;
      if (to.local != nullptr) {
        vector const local = vector::load(to.local + at) + c[m][n];
        local.store(to.local + at);
        (vector::load(to.base + at) + local).store(to.data + at);
      } else if (to.accumulate) {
        (vector::load(to.data + at) + c[m][n]).store(to.data + at);
      } else {
        c[m][n].store(to.data + at);
      }
    }
  }
}

template <a_order Order, std::size_t Vectors, class Real>
LINATTN_ALWAYS_INLINE void multiply_columns(int rows, int depth, matrix_a<Real> a, Real const* b,
                                            std::ptrdiff_t b_stride, matrix_c<Real> const& c, std::ptrdiff_t column,
                                            row_prefetcher* prefetch) {
  auto const tile = [&](auto count, int row) {
    constexpr std::size_t tile_height = decltype(count)::value;
    if (prefetch != nullptr) {
      prefetch->touch_row();
    }
    simd<Real> sums[tile_height][Vectors];
    LINATTN_UNROLL
    for (int m = 0; m < static_cast<int>(tile_height); ++m) {
      LINATTN_UNROLL
      for (int n = 0; n < static_cast<int>(Vectors); ++n) {
        sums[m][n] = simd<Real>(Real(0));
      }
    }
    std::ptrdiff_t const a_offset = Order == a_order::row_major ? row * a.stride : row;
    multiply_tile<Order>(sums, {a.data + a_offset, a.stride}, b + column, b_stride, depth);
    finish_tile(sums, c, row * c.stride + column);
  };
  int row = 0;
  for (; row + tile_rows <= rows; row += tile_rows) {
    tile(std::integral_constant<std::size_t, tile_rows>{}, row);
  }
  for (; row + 2 <= rows; row += 2) {
    tile(std::integral_constant<std::size_t, 2>{}, row);
  }
  if (row < rows) {
    tile(std::integral_constant<std::size_t, 1>{}, row);
  }
}

/// C (=, +=) A B. Each element is one chain of `depth` multiply-adds from zero, then at most one addition, so its bits
/// do not depend on how rows and columns are tiled.
/// Shapes  A (rows, depth); B (depth, columns) and C (rows, columns) row-major; columns a multiple of the vector width.
template <a_order Order, class Real>
LINATTN_NEVER_INLINE void multiply(int rows, int columns, int depth, matrix_a<Real> a, Real const* b,
                                   std::ptrdiff_t b_stride, matrix_c<Real> c, row_prefetcher* prefetch = nullptr) {
  constexpr int width = simd<Real>::width;
  int column = 0;
  for (; column + tile_vectors * width <= columns; column += tile_vectors * width) {
    multiply_columns<Order, std::size_t{tile_vectors}>(rows, depth, a, b, b_stride, c, column, prefetch);
  }
  if constexpr (tile_vectors > 2) {
    for (; column + 2 * width <= columns; column += 2 * width) {
      multiply_columns<Order, 2>(rows, depth, a, b, b_stride, c, column, prefetch);
    }
  }
  for (; column < columns; column += width) {
    multiply_columns<Order, 1>(rows, depth, a, b, b_stride, c, column, prefetch);
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
