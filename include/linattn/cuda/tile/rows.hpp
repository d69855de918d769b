// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of q, k and v on their way from global memory into shared tiles: read as they are, prepared by the map, rounded
// to the operand format. What is outside the tensor becomes zero.
#ifndef LINATTN_CUDA_TILE_ROWS_HPP
#define LINATTN_CUDA_TILE_ROWS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

constexpr int round_up_to(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

/// Longer rows would fill a thread's registers.
inline constexpr int longest_row_in_registers = 32;

/// Of a block whose threads have lines of so many bytes in shared memory: lines of at most 66 KiB, else one warp. A
/// multiprocessor has room for two such blocks on sm_80, three on sm_90.
constexpr int threads_of_lines(std::size_t bytes) { return bytes <= 528 ? 128 : (bytes <= 1056 ? 64 : 32); }

/// 16 bytes of elements.
template <class T>
struct alignas(16) element_piece {
  static constexpr int size = 16 / static_cast<int>(sizeof(T));
  T e[std::size_t{size}];
};

/// Elements as operands of their size.
template <class To, class Real, class T>
LINATTN_DEVICE element_piece<To> convert_piece(element_piece<T> const& from) {
  static_assert(sizeof(To) == sizeof(T),
                "linattn::convert_piece: an operand format of another size; the element's own size; choose another");
  element_piece<To> to;
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < element_piece<T>::size; ++n) {
    to.e[n] = to_element<To>(to_real<Real>(from.e[n]));
  }
  return to;
}

/// A row as real numbers; `vectors`: it begins at a 16-byte boundary.
template <std::size_t Size, class Real, class T>
LINATTN_DEVICE void read_row(Real (&x)[Size], T const* row, bool vectors) {
  using piece = element_piece<std::remove_const_t<T>>;
  constexpr int size = static_cast<int>(Size);
  if constexpr (size % piece::size == 0) {
    if (vectors) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < size / piece::size; ++i) {
        piece const p = simt::load_readonly(reinterpret_cast<piece const*>(row) + i);
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < piece::size; ++n) {
          x[i * piece::size + n] = to_real<Real>(p.e[n]);
        }
      }
      return;
    }
  }
  LINATTN_SIMT_UNROLL
  for (int i = 0; i < size; ++i) {
    x[i] = to_real<Real>(simt::load_readonly(row + i));
  }
}

/// A row as it is into shared memory, asynchronously where it begins at a 16-byte boundary.
template <int Size, class T>
LINATTN_DEVICE void copy_row(T* to, T const* from, bool vectors) {
  constexpr int piece = element_piece<T>::size;
  if constexpr (Size % piece == 0) {
    if (vectors) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < Size; i += piece) {
        simt::copy_async<16>(simt::to_shared(to + i), from + i, 16);
      }
      return;
    }
  }
  LINATTN_SIMT_UNROLL
  for (int i = 0; i < Size; ++i) {
    simt::store(to + i, simt::load_readonly(from + i));
  }
}
/// The same of a piece, `size` elements of which are there; zeros for the others. `from` lies in the tensor.
template <class T>
LINATTN_DEVICE void copy_piece(T* to, T const* from, bool vectors, int size) {
  if (vectors) {
    simt::copy_async<16>(simt::to_shared(to), from, size * static_cast<int>(sizeof(T)));
    return;
  }
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < element_piece<T>::size; ++n) {
    simt::store(to + n, n < size ? simt::load_readonly(from + n) : to_element<T>(0.0F));
  }
}

/// As read_row, of a row that a thread has copied into shared memory itself, where rows begin at 16-byte boundaries.
template <std::size_t Size, class Real, class T>
LINATTN_DEVICE void read_copied_row(Real (&x)[Size], T const* row) {
  using piece = element_piece<T>;
  constexpr int size = static_cast<int>(Size);
  if constexpr (size % piece::size == 0) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < size; i += piece::size) {
      piece const p = simt::load(reinterpret_cast<piece const*>(row + i));
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size; ++n) {
        x[i + n] = to_real<Real>(p.e[n]);
      }
    }
  } else {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < size; ++i) {
      x[i] = to_real<Real>(simt::load(row + i));
    }
  }
}

/// A row of the caller's, from real numbers.
template <std::size_t Size, class Real, class T>
LINATTN_DEVICE void write_elements(T* row, bool vectors, Real const (&x)[Size]) {
  using piece = element_piece<T>;
  constexpr int size = static_cast<int>(Size);
  if constexpr (size % piece::size == 0) {
    if (vectors) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < size / piece::size; ++i) {
        piece p;
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < piece::size; ++n) {
          p.e[n] = to_element<T>(x[i * piece::size + n]);
        }
        simt::store(reinterpret_cast<piece*>(row) + i, p);
      }
      return;
    }
  }
  LINATTN_SIMT_UNROLL
  for (int i = 0; i < size; ++i) {
    simt::store(row + i, to_element<T>(x[i]));
  }
}

/// Piece `number` of a row, from real numbers; what is past its end becomes zero.
template <class T, std::size_t Size, class Real>
LINATTN_DEVICE element_piece<T> piece_of_row(Real const (&x)[Size], int number) {
  constexpr int size = static_cast<int>(Size);
  element_piece<T> p;
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < element_piece<T>::size; ++n) {
    int const at = number * element_piece<T>::size + n;
    p.e[n] = to_element<T>(at < size ? x[at < size ? at : 0] : Real(0));
  }
  return p;
}

/// The row of a tile, from real numbers; columns past its end become zero.
template <std::size_t Size, class Real, class Tile>
LINATTN_DEVICE void write_row(Tile& tile, int row, Real const (&x)[Size]) {
  using element = typename Tile::element;
  using piece = element_piece<element>;
  LINATTN_SIMT_UNROLL
  for (int i = 0; i < Tile::columns / piece::size; ++i) {
    simt::store(reinterpret_cast<piece*>(tile.row(row)) + i, piece_of_row<element>(x, i));
  }
}

/// Rows that a kernel prepares itself: a thread takes whole rows. Kept as real numbers too where `reals` is not null.
template <int Threads, class Real, class Map, class T, class Tile>
LINATTN_DEVICE void stage_rows(Tile& tile, Real* reals, Map const& map, role r, int head, T const* first,
                               std::int64_t time_stride, bool vectors, int count) {
  constexpr int dim = Map::head_dim;
  LINATTN_SIMT_NO_UNROLL
  for (int row = static_cast<int>(simt::thread_idx().x); row < Tile::rows; row += Threads) {
    Real x[std::size_t{dim}] = {};
    if (row < count) {
      T const* const from = first + row * time_stride;
      read_row(x, from, vectors);
      simt::anew(map, from).prepare(x, r, head);  // the addresses of its parameters would fill a loop's registers
    }
    write_row(tile, row, x);
    if (reals != nullptr) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        reals[row * dim + i] = x[i];
      }
    }
  }
}

/// Rows that were prepared before, of Tile::columns operand elements each: copied as they are, asynchronously.
template <int Threads, class Tile>
LINATTN_DEVICE void stage_prepared_rows(Tile& tile, typename Tile::element const* first, std::int64_t time_stride,
                                        int count) {
  using piece = element_piece<typename Tile::element>;
  constexpr int per_row = Tile::columns / piece::size;
  LINATTN_SIMT_NO_UNROLL
  for (int i = static_cast<int>(simt::thread_idx().x); i < Tile::rows * per_row; i += Threads) {
    int const row = i / per_row;
    auto const* const from = reinterpret_cast<piece const*>(first + (row < count ? row : 0) * time_stride);
    simt::copy_async<16>(simt::to_shared(reinterpret_cast<piece*>(tile.row(row)) + i % per_row), from + i % per_row,
                         row < count ? 16 : 0);
  }
}

/// One number a row; zero beyond `count`, and if there are none.
template <int Threads, class Real, std::size_t Rows>
LINATTN_DEVICE void stage_numbers(Real (&numbers)[Rows], device_rows<Real const> const& from, std::int64_t batch,
                                  int head, std::int64_t time, int count) {
  LINATTN_SIMT_NO_UNROLL
  for (int row = static_cast<int>(simt::thread_idx().x); row < static_cast<int>(Rows); row += Threads) {
    bool const there = row < count && from.data != nullptr;
    numbers[row] = there ? simt::load_readonly(from.row(batch, head, time + row)) : Real(0);
  }
}

/// `count` rows of values, the columns [column, column + Tile::columns) of them; converted to the operand format.
template <int Threads, class Real, class T, class Tile>
LINATTN_DEVICE void stage_values(Tile& tile, T const* first, std::int64_t time_stride, bool vectors, int count,
                                 int column, int columns) {
  using element = typename Tile::element;
  using plain = std::remove_const_t<T>;
  using piece = element_piece<plain>;
  constexpr int per_row = Tile::columns / piece::size;
  LINATTN_SIMT_NO_UNROLL
  for (int i = static_cast<int>(simt::thread_idx().x); i < Tile::rows * per_row; i += Threads) {
    int const row = i / per_row;
    int const at = i % per_row * piece::size;
    int const left = row < count ? columns - column - at : 0;  // elements from here to the end of the row
    T const* const from = first + row * time_stride + column + at;
    piece p;
    if (vectors && left >= piece::size) {
      p = simt::load_readonly(reinterpret_cast<piece const*>(from));
    } else {
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size; ++n) {
        p.e[n] = n < left ? simt::load_readonly(from + n) : to_element<plain>(Real(0));
      }
    }
    if constexpr (std::is_same_v<element, plain>) {
      simt::store(reinterpret_cast<piece*>(tile.row(row) + at), p);
    } else {
      simt::store(reinterpret_cast<element_piece<element>*>(tile.row(row) + at), convert_piece<element, Real>(p));
    }
  }
}

/// Two neighbouring elements, stored at once.
template <class Element>
struct alignas(2 * sizeof(Element)) element_pair {
  Element low, high;
};
template <class Element, class Real>
LINATTN_DEVICE element_pair<Element> pair_of(Real low, Real high) {
  if constexpr (std::is_same_v<Element, f16>) {
    return __builtin_bit_cast(element_pair<f16>, simt::pack_f16x2(static_cast<float>(low), static_cast<float>(high)));
  } else if constexpr (std::is_same_v<Element, bf16>) {
    return __builtin_bit_cast(element_pair<bf16>, simt::pack_bf16x2(static_cast<float>(low), static_cast<float>(high)));
  } else {
    return {to_element<Element>(low), to_element<Element>(high)};
  }
}

/// Two neighbouring numbers of an output row, as far as they are inside it. `vectors`: rows begin at 16-byte
/// boundaries.
template <class Element, class Real>
LINATTN_DEVICE void write_pair(Element* row, int column, int columns, bool vectors, Real low, Real high) {
  element_pair<Element> const both = pair_of<Element>(low, high);
  if (vectors && column + 1 < columns) {
    simt::store(reinterpret_cast<element_pair<Element>*>(row + column), both);
    return;
  }
  if (column < columns) {
    simt::store(row + column, both.low);
  }
  if (column + 1 < columns) {
    simt::store(row + column + 1, both.high);
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
