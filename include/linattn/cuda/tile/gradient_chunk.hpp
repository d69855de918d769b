// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// gradient_chunk: rows of both sides with their values and weights on their way into shared memory while others are
// worked on; and the caller's rows, for the way back to them.
#ifndef LINATTN_CUDA_TILE_GRADIENT_CHUNK_HPP
#define LINATTN_CUDA_TILE_GRADIENT_CHUNK_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Prepared rows come as they are. Values become operands in place; a thread converts what it has copied itself, so its
/// own wait is enough.
template <class Operand, int Rows, int Dim, int ValueTile, int Threads>
struct gradient_chunk {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  using piece = element_piece<operand_element>;
  static constexpr int rows = Rows;
  static constexpr int row_pieces = Dim / piece::size;
  static constexpr int value_pieces = ValueTile / piece::size;
  static_assert(Threads >= Rows,
                "linattn::gradient_chunk: too few threads; a thread for each row; use more, or fewer rows");

  shared_tile<operand_element, Rows, Dim> x;
  shared_tile<operand_element, Rows, Dim> y;
  shared_tile<operand_element, Rows, ValueTile> x_values;
  shared_tile<operand_element, Rows, ValueTile> y_values;
  real weights[std::size_t{Rows}];  // c of the queries among x and y

  /// `count` rows from number `begin` on, the others zero.
  LINATTN_DEVICE void start_rows(operand_element const* from_x, std::int64_t x_stride, operand_element const* from_y,
                                 std::int64_t y_stride, unsigned begin, int count) {
    constexpr int pieces = Rows * row_pieces;
    int const thread = thread_near(this);
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < (2 * pieces + Threads - 1) / Threads; ++i) {
      int const n = i * Threads + thread;
      if (2 * pieces % Threads != 0 && n >= 2 * pieces) {
        return;
      }
      bool const of_y = pieces % Threads == 0 ? i * Threads >= pieces : n >= pieces;
      unsigned const row = static_cast<unsigned>(n / row_pieces) % Rows;
      int const column = n % row_pieces * piece::size;
      operand_element const* const first = of_y ? from_y : from_x;
      operand_element* const to = (of_y ? y : x).row(static_cast<int>(row)) + column;
      if (static_cast<int>(row) < count) {
        std::int64_t const at = std::int64_t{begin + row} * (of_y ? y_stride : x_stride);
        simt::copy_async<16>(simt::to_shared(to), first + at + column, 16);
      } else {
        simt::copy_async<16>(simt::to_shared(to), first, 0);
      }
    }
  }

  /// `left` columns of `count` rows from number `begin` on, the others zero; as they are.
  template <class T>
  LINATTN_DEVICE static void start_values(shared_tile<operand_element, Rows, ValueTile>& tile, T const* first,
                                          std::int64_t time_stride, bool vectors, unsigned begin, int count, int left) {
    static_assert(sizeof(T) == sizeof(operand_element),
                  "linattn::gradient_chunk: an operand format of another size than the element's; the same size; "
                  "elements become operands in place");
    if (vectors && count == Rows && left >= ValueTile) {  // nearly always
      for_each_piece(&tile, [&](int thread_row, int row, int column) {
        T const* const from = first + std::int64_t{begin + static_cast<unsigned>(thread_row)} * time_stride + column;
        simt::copy_async<16>(simt::to_shared(tile.row(row) + column), from + (row - thread_row) * time_stride, 16);
      });
      return;
    }
    for_each_piece(&tile, [&](int, int row, int column) {
      int const in_row = left - column < 0 ? 0 : (left - column < piece::size ? left - column : piece::size);
      int const size = row < count ? in_row : 0;
      T const* const from =
          first + (size > 0 ? std::int64_t{begin + static_cast<unsigned>(row)} * time_stride + column : 0);
      copy_piece(reinterpret_cast<T*>(tile.row(row) + column), from, vectors, size);
    });
  }
  template <class T>
  LINATTN_DEVICE static void finish_values(shared_tile<operand_element, Rows, ValueTile>& tile) {
    if constexpr (!std::is_same_v<T, operand_element>) {
      for_each_piece(&tile, [&](int, int row, int column) {
        auto const raw = simt::load(reinterpret_cast<element_piece<T> const*>(tile.row(row) + column));
        simt::store(reinterpret_cast<piece*>(tile.row(row) + column), convert_piece<operand_element, real>(raw));
      });
    }
  }

  /// `first` may be null: zeros.
  LINATTN_DEVICE void start_weights(real const* first, std::int64_t time_stride, unsigned begin, int count) {
    int const row = thread_near(this);
    if (row >= Rows) {
      return;
    }
    if (first != nullptr) {
      unsigned const number = begin + static_cast<unsigned>(row < count ? row : 0);
      simt::copy_async<4>(simt::to_shared(weights + row), first + std::int64_t{number} * time_stride,
                          row < count ? 4 : 0);
    } else {
      weights[row] = real(0);
    }
  }

 private:
  /// The thread; what follows from it is computed anew for each stage, instead of filling registers from one to the
  /// next.
  static LINATTN_DEVICE int thread_near(void const* at) {
    return static_cast<int>(simt::anew(simt::thread_idx().x, at) % Threads);  // not negative: halves are shifts
  }

  /// The pieces of values that this thread copies and converts: f(row of its first one, row, column).
  template <class F>
  static LINATTN_DEVICE void for_each_piece(void const* at, F&& f) {
    static_assert(Threads % value_pieces == 0,
                  "linattn::gradient_chunk: rows of values that part the threads unevenly; a divisor of the threads; "
                  "use another tile");
    constexpr int pieces = Rows * value_pieces;
    int const thread = thread_near(at);
    int const row = thread / value_pieces;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < (pieces + Threads - 1) / Threads; ++i) {
      if (pieces % Threads != 0 && i * Threads + thread >= pieces) {
        return;
      }
      f(row, row + i * (Threads / value_pieces), thread % value_pieces * piece::size);
    }
  }
};

/// Where a sweep's rows begin; in shared memory, as their addresses would fill registers.
template <class Operand, class XValue, class YValue>
struct gradient_rows {
  using operand_element = typename Operand::element;
  using real = typename Operand::real;

  operand_element const* x;
  operand_element const* y;
  XValue const* x_values;
  YValue const* y_values;
  real const* weights;
  std::int64_t value_grads;  // from the tensor's first number
  int columns;               // of values, from here on
};

/// A row of the caller's for each thread that takes one: copied and read by the same thread.
template <class Element, int Rows, int Dim>
struct raw_rows {
  using piece = element_piece<Element>;
  // Whole pieces; and one more, that rows of neighbours lie in distinct banks.
  static constexpr int stride = round_up_to(Dim, piece::size) + piece::size;

  alignas(16) Element data[std::size_t{Rows} * stride];

  LINATTN_DEVICE void start(int row, Element const* from, bool vectors) {
    copy_row<Dim>(data + row * stride, from, vectors);
  }

  template <class Real>
  LINATTN_DEVICE void read(Real (&x)[std::size_t{Dim}], int row) const {
    read_copied_row(x, data + row * stride);
  }
};

/// 16 rows by 16 columns, as products leave them: values[n][e] is row 8 (e / 2) + g, column 8 n + 2 t + e % 2. `left`
/// of the rows and `columns` of the columns from `first` on are there.
template <class T, class Real>
LINATTN_DEVICE void write_fragments(device_rows<T> const& rows, std::int64_t first, std::int64_t row, int column,
                                    int left, int columns, Real const (&values)[2][4]) {
  int const g = simt::lane() / 4;
  int const at = column + simt::lane() % 4 * 2;
  T* const to = rows.data + (first + (row + g) * rows.time_stride + at);
  if (rows.vectors && columns % 2 == 0) {  // pairs; stores without branches
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i / 2 * 8 + g < left && at + i % 2 * 8 < columns) {
        simt::store(reinterpret_cast<element_pair<T>*>(to + i / 2 * 8 * rows.time_stride + i % 2 * 8),
                    pair_of<T>(values[i % 2][i / 2 * 2], values[i % 2][i / 2 * 2 + 1]));
      }
    }
    return;
  }
  LINATTN_SIMT_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (i / 4 * 8 + g < left && at + i % 4 / 2 * 8 + i % 2 < columns) {
      simt::store(to + i / 4 * 8 * rows.time_stride + i % 4 / 2 * 8 + i % 2,
                  to_element<T>(values[i % 4 / 2][i / 4 * 2 + i % 2]));
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
