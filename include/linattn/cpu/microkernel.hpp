// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The one matrix product of the CPU backend, C = A B on register tiles: A is broadcast, B is loaded as vectors. Scores,
// A V, phi(Q) S, the state's update and the gradients are all this product. It knows nothing of attention.
#ifndef LINATTN_CPU_MICROKERNEL_HPP
#define LINATTN_CPU_MICROKERNEL_HPP

#include <linattn/core/config.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// A register tile: tile_rows x tile_vectors accumulators leave room for one row of B and one broadcast.
inline constexpr int tile_rows = 6;
inline constexpr int tile_vectors = LINATTN_VECTOR_REGISTERS >= 32 ? 4 : 2;

/// How rows are cut into register tiles: first tiles of tile_rows rows, then tiles of one row less, so that no rows are
/// left: tiles of few rows have too few sums under way to keep the multipliers busy. Few rows may leave some.
struct row_cut {
  int whole = 0;   // rows in whole tiles
  int almost = 0;  // rows in tiles of one less

  explicit constexpr row_cut(int rows) noexcept {
    int const fewer = (tile_rows - rows % tile_rows) % tile_rows;  // so many tiles of one row less leave no rest
    almost = fewer * (tile_rows - 1) <= rows ? fewer * (tile_rows - 1) : 0;
    whole = (rows - almost) / tile_rows * tile_rows;
  }
  /// The first row of the tile that a row is in, or a row before it.
  [[nodiscard]] constexpr int tile_begin(int row) const noexcept {
    if (row < whole) {
      return row / tile_rows * tile_rows;
    }
    return row < whole + almost ? whole + (row - whole) / (tile_rows - 1) * (tile_rows - 1) : whole + almost;
  }
};

/// Columns of a value panel: what one register tile is wide.
template <class Real>
inline constexpr int panel_columns = tile_vectors * simd<Real>::width;

/// Fetches the rows that the next chunk will need, a row a call, so that the memory works while the tiles compute: in
/// one burst they would keep the tiles' own loads waiting.
class row_prefetcher {
 public:
  static constexpr int depth_between = 32;  // multiply-add steps of a register tile between two calls

  row_prefetcher() = default;
  row_prefetcher(row_prefetcher const&) = delete;  // it points into itself
  row_prefetcher& operator=(row_prefetcher const&) = delete;

  /// Rows to come, and about how many calls come before they are needed.
  void restart(std::int64_t rows, std::int64_t calls) noexcept {
    rows_left_ = (std::max<std::int64_t>)(0, rows);
    rows_a_call_ = static_cast<int>(rows_left_ / (calls + 1)) + 1;
    calls_a_row_ = static_cast<int>((std::max<std::int64_t>)(1, calls / (rows_left_ + 1)));
    calls_left_ = calls_a_row_;
    end_ = lines_;
  }

  /// The first of the rows of a tensor, be it read or written.
  void add(void const* row, std::ptrdiff_t stride, std::ptrdiff_t bytes) noexcept {
    for (std::ptrdiff_t i = 0; i < bytes && end_ != lines_ + most_lines; i += 64) {
      *end_++ = {reinterpret_cast<std::uintptr_t>(row) + static_cast<std::uintptr_t>(i),
                 static_cast<std::uintptr_t>(stride)};
    }
  }

  LINATTN_ALWAYS_INLINE void touch() noexcept {
#if LINATTN_VECTOR_EXTENSIONS
    if (--calls_left_ > 0) {
      return;
    }
    calls_left_ = calls_a_row_;
    for (int n = 0; n < rows_a_call_ && rows_left_ > 0; ++n, --rows_left_) {
      for (cache_line* line = lines_; line != end_; ++line) {
        __builtin_prefetch(reinterpret_cast<void const*>(line->address), 0, to_second_level);
        line->address += line->stride;
      }
    }
#endif
  }

 private:
  struct cache_line {
    std::uintptr_t address;  // a number: it may run past the last row
    std::uintptr_t stride;
  };
  /// And no further, since the tiles need the first level themselves. Nor with the intent to write, which fills the first
  /// level too.
  static constexpr int to_second_level = 2;
  static constexpr int most_lines = 64;  // of a row of all tensors; the hardware fetches what follows
  cache_line lines_[most_lines];
  cache_line* end_ = lines_;
  std::int64_t rows_left_ = 0;
  int rows_a_call_ = 1;
  int calls_a_row_ = 1;
  int calls_left_ = 1;
};

/// Where the rows of A lie: [row][depth], or [depth][row].
enum class a_order { row_major, depth_major };

template <class Factor>
struct matrix_a {
  Factor const* data;
  std::ptrdiff_t stride;
};

/// A (rows, depth) times B (depth, columns). Of row r of A only depths [r + band_first, r + band_last) are used, and
/// the rest within a register tile must be zero: what a causal mask leaves. A factor is a number, or a pair of numbers
/// that are neighbours along the depth.
template <class Factor>
struct product {
  static constexpr int everywhere = 1 << 30;

  matrix_a<Factor> a;
  Factor const* b;
  std::ptrdiff_t b_stride;
  int depth;
  int band_first = -everywhere;
  int band_last = everywhere;
};

/// What becomes of a finished sum of products: data = row_scale[row] * (base + sum).
template <class Real>
struct matrix_c {
  Real* data;
  std::ptrdiff_t stride;
  Real const* base = nullptr;  // null: nothing to add
  std::ptrdiff_t base_stride = 0;
  Real* local = nullptr;  // if set: local += sum, besides; strides as of base
  Real const* row_scale = nullptr;  // null: 1
};

/// data += sum.
template <class Real>
constexpr matrix_c<Real> added_to(Real* data, std::ptrdiff_t stride) noexcept {
  return {data, stride, data, stride};
}

template <a_order Order, std::size_t Rows, std::size_t Vectors, class Real, class Factor>
LINATTN_ALWAYS_INLINE void multiply_tile(simd<Real> (&c)[Rows][Vectors], product<Factor> const& p, int row, int column,
                                         row_prefetcher* prefetch) {
  using vector = simd<Factor>;
  constexpr int between = row_prefetcher::depth_between / (std::is_arithmetic_v<Factor> ? 1 : 2);  // pairs
  int const first = (std::max)(0, row + p.band_first);
  int const last = (std::min)(p.depth, row + static_cast<int>(Rows) - 1 + p.band_last);
  if (first >= last) {
    return;  // also the product of nothing, whose pointers are null
  }
  std::ptrdiff_t const row_step = Order == a_order::row_major ? p.a.stride : 1;
  std::ptrdiff_t const depth_step = Order == a_order::row_major ? 1 : p.a.stride;
  Factor const* a = p.a.data + row * row_step + first * depth_step;
  Factor const* LINATTN_RESTRICT b = p.b + first * p.b_stride + column;
  for (int k = first; k < last;) {
    int const stop = (std::min)(last, k + between);
    if (Rows + 1 >= tile_rows && prefetch != nullptr && stop - k == between) {
      prefetch->touch();
    }
    LINATTN_UNROLL_2
    for (; k < stop; ++k) {
      vector line[Vectors];
      LINATTN_UNROLL
      for (int n = 0; n < static_cast<int>(Vectors); ++n) {
        line[n] = vector::load(b + n * vector::width);
      }
      LINATTN_UNROLL
      for (int m = 0; m < static_cast<int>(Rows); ++m) {
        vector const x(a[m * row_step]);
        LINATTN_UNROLL
        for (int n = 0; n < static_cast<int>(Vectors); ++n) {
          c[m][n] = multiply_add(x, line[n], c[m][n]);
        }
      }
      a += depth_step;
      b += p.b_stride;
    }
  }
}

/// f(m, n, offset of the vector) for each vector of the tile.
template <std::size_t Rows, std::size_t Vectors, class Real, class F>
LINATTN_ALWAYS_INLINE void for_each_vector(simd<Real> (&c)[Rows][Vectors], std::ptrdiff_t stride, F&& f) {
  LINATTN_UNROLL
  for (int m = 0; m < static_cast<int>(Rows); ++m) {
    LINATTN_UNROLL
    for (int n = 0; n < static_cast<int>(Vectors); ++n) {
      f(c[m][n], m, m * stride + n * simd<Real>::width);
    }
  }
}

template <std::size_t Rows, std::size_t Vectors, class Real>
LINATTN_ALWAYS_INLINE void finish_tile(simd<Real> (&c)[Rows][Vectors], matrix_c<Real> const& to, int row, int column) {
  using vector = simd<Real>;
  std::ptrdiff_t const base_at = row * to.base_stride + column;
  if (to.local != nullptr) {
    Real* const local = to.local + base_at;
    for_each_vector(c, to.base_stride,
                    [&](vector& sum, int, std::ptrdiff_t at) { (vector::load(local + at) + sum).store(local + at); });
  }
  if (to.base != nullptr) {
    Real const* const base = to.base + base_at;
    for_each_vector(c, to.base_stride,
                    [&](vector& sum, int, std::ptrdiff_t at) { sum = vector::load(base + at) + sum; });
  }
  if (to.row_scale != nullptr) {
    for_each_vector(c, 0, [&](vector& sum, int m, std::ptrdiff_t) { sum = sum * vector(to.row_scale[row + m]); });
  }
  Real* const data = to.data + row * to.stride + column;
  for_each_vector(c, to.stride, [&](vector& sum, int, std::ptrdiff_t at) { sum.store(data + at); });
}

template <a_order Order, std::size_t Vectors, class Real, class... Factors>
LINATTN_ALWAYS_INLINE void multiply_columns(int rows, int column, matrix_c<Real> const& c, row_prefetcher* prefetch,
                                            product<Factors> const&... terms) {
  auto const tile = [&](auto count, int row) {
    constexpr std::size_t tile_height = decltype(count)::value;
    simd<Real> sums[tile_height][Vectors];
    LINATTN_UNROLL
    for (int m = 0; m < static_cast<int>(tile_height); ++m) {
      LINATTN_UNROLL
      for (int n = 0; n < static_cast<int>(Vectors); ++n) {
        sums[m][n] = simd<Real>(Real(0));
      }
    }
    (multiply_tile<Order>(sums, terms, row, column, prefetch), ...);
    finish_tile(sums, c, row, column);
  };
  row_cut const cut(rows);
  int row = 0;
  for (; row < cut.whole; row += tile_rows) {
    tile(std::integral_constant<std::size_t, tile_rows>{}, row);
  }
  for (; row < cut.whole + cut.almost; row += tile_rows - 1) {
    tile(std::integral_constant<std::size_t, tile_rows - 1>{}, row);
  }
  for (; row < rows; ++row) {
    tile(std::integral_constant<std::size_t, 1>{}, row);
  }
}

/// C (=, +=) the sum of one or two products. Each element is one chain of multiply-adds from zero, then at most one
/// addition, so its bits do not depend on how rows and columns are tiled.
/// Shapes  B (depth, columns) and C (rows, columns) row-major; columns a multiple of the vector width.
template <a_order Order, class Real, class... Factors>
LINATTN_NEVER_INLINE void multiply(int rows, int columns, matrix_c<Real> c, row_prefetcher* prefetch,
                                   product<Factors> const&... terms) {
  constexpr int width = simd<Real>::width;
  int column = 0;
  for (; column + tile_vectors * width <= columns; column += tile_vectors * width) {
    multiply_columns<Order, std::size_t{tile_vectors}>(rows, column, c, prefetch, terms...);
  }
  if constexpr (tile_vectors > 2) {
    for (; column + 2 * width <= columns; column += 2 * width) {
      multiply_columns<Order, 2>(rows, column, c, prefetch, terms...);
    }
  }
  for (; column < columns; column += width) {
    multiply_columns<Order, 1>(rows, column, c, prefetch, terms...);
  }
}

/// The same of one product.
template <a_order Order, class Real>
void multiply(int rows, int columns, int depth, matrix_a<Real> a, Real const* b, std::ptrdiff_t b_stride,
              matrix_c<Real> c, row_prefetcher* prefetch = nullptr) {
  multiply<Order>(rows, columns, c, prefetch, product<Real>{a, b, b_stride, depth});
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
