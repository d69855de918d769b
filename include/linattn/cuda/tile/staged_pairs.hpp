// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// staged_pairs: 64 rows and their values on their way into shared memory while others are worked on. A thread prepares
// the row and converts the pieces that it has copied itself: its own wait is enough.
#ifndef LINATTN_CUDA_TILE_STAGED_PAIRS_HPP
#define LINATTN_CUDA_TILE_STAGED_PAIRS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Prepared: rows come in the operand format; else a thread prepares one.
template <class Map, class RowElement, class ValueElement, class Operand, bool Prepared, int Threads, int ValueTile>
struct staged_pairs {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  static constexpr int tokens = 64;
  static constexpr int dim = Map::head_dim;
  static constexpr int row_tile = round_up_to(dim, 16);
  static_assert(sizeof(RowElement) == sizeof(operand_element) && sizeof(ValueElement) == sizeof(operand_element),
                "linattn::staged_pairs: an operand format of another size than the element's; the same size; elements "
                "become operands in place");
  static_assert(Threads >= tokens, "linattn::staged_pairs: too few threads; a thread for each row; use 64 or more");

  shared_tile<operand_element, tokens, row_tile> k;
  shared_tile<operand_element, tokens, ValueTile> v;

  /// The first `count` rows from `first`.
  LINATTN_DEVICE void start_rows(RowElement const* first, std::int64_t time_stride, bool vectors, int count) {
    if constexpr (Prepared) {
      for_each_piece_of<operand_element, row_tile>(time_stride, [&](int row, int at, std::int64_t offset) {
        bool const there = row < count;
        simt::copy_async<16>(simt::to_shared(k.row(row) + at), first + (there ? offset : 0), there ? 16 : 0);
      });
    } else {
      int const row = static_cast<int>(simt::thread_idx().x);
      if (row >= tokens || row >= count) {
        return;
      }
      copy_row<dim>(raw_row(row), first + row * time_stride, vectors);
    }
  }

  /// Kept as real numbers too where `reals` is not null.
  LINATTN_DEVICE void finish_rows(Map const& map, role side, int head, int count, real* reals) {
    if constexpr (Prepared) {
      if (reals != nullptr) {
        widen_pieces(reals);
      }
    } else {
      int const row = static_cast<int>(simt::thread_idx().x);
      if (row >= tokens) {
        return;
      }
      real x[std::size_t{dim}] = {};
      if (row < count) {
        read_copied_row(x, raw_row(row));
        simt::anew(map, raw_row(row)).prepare(x, side, head);
      }
      write_row(k, row, x);
      if (reals != nullptr) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < dim; ++i) {
          simt::store(reals + row * dim + i, x[i]);
        }
      }
    }
  }

  /// Columns [column, column + ValueTile) of the values; zero outside the tensor.
  LINATTN_DEVICE void start_values(ValueElement const* first, std::int64_t time_stride, bool vectors, int count,
                                   int column, int columns) {
    constexpr int size = element_piece<ValueElement>::size;
    auto const left = [&](int row, int at) { return row < count ? columns - column - at : 0; };
    if (vectors) {
      for_each_piece_of<ValueElement, ValueTile>(time_stride, [&](int row, int at, std::int64_t offset) {
        int const rest = left(row, at);
        int const there = rest <= 0 ? 0 : (rest < size ? rest : size);
        simt::copy_async<16>(simt::to_shared(v.row(row) + at), first + (there > 0 ? column + offset : 0),
                             there * static_cast<int>(sizeof(ValueElement)));
      });
      return;
    }
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < tokens * ValueTile / size; i += Threads) {
      int const row = i * size / ValueTile;
      int const at = i * size % ValueTile;
      auto* const to = reinterpret_cast<ValueElement*>(v.row(row) + at);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < size; ++n) {
        bool const there = n < left(row, at);
        simt::store(to + n, there ? simt::load_readonly(first + row * time_stride + column + at + n)
                                  : to_element<ValueElement>(real(0)));
      }
    }
  }

  LINATTN_DEVICE void finish_values() {
    if constexpr (!std::is_same_v<ValueElement, operand_element>) {
      for_each_piece_of<ValueElement, ValueTile>(0, [&](int row, int at, std::int64_t) {
        using piece = element_piece<ValueElement>;
        piece const p = simt::load(reinterpret_cast<piece const*>(v.row(row) + at));
        simt::store(reinterpret_cast<element_piece<operand_element>*>(v.row(row) + at),
                    convert_piece<operand_element, real>(p));
      });
    }
  }

 private:
  LINATTN_DEVICE RowElement* raw_row(int row) { return reinterpret_cast<RowElement*>(k.row(row)); }

  /// The pieces of rows that this thread has copied.
  LINATTN_DEVICE void widen_pieces(real* reals) {
    using piece = element_piece<operand_element>;
    for_each_piece_of<operand_element, row_tile>(0, [&](int row, int at, std::int64_t) {
      piece const p = simt::load(reinterpret_cast<piece const*>(k.row(row) + at));
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size; ++n) {
        if (at + n < dim) {
          simt::store(reals + row * dim + at + n, to_real<real>(p.e[n]));
        }
      }
    });
  }

  /// The 16-byte pieces of a tile that this thread copies and works on: f(row, column, offset), the last in the tensor,
  /// of rows so far apart. The stride is anew, lest the addresses of all pieces fill a loop's registers.
  template <class T, int Columns, class F>
  static LINATTN_DEVICE void for_each_piece_of(std::int64_t stride, F&& f) {
    constexpr int size = element_piece<T>::size;
    constexpr int per_row = Columns / size;
    constexpr int count = tokens * per_row;
    int const thread = static_cast<int>(simt::thread_idx().x);
    if constexpr (Threads % per_row == 0 && count % Threads == 0) {
      int const at = thread % per_row * size;
      int row = thread / per_row;
      std::int64_t offset = row * stride + at;
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < count / Threads; ++i) {
        f(row, at, offset);
        row += Threads / per_row;
        offset += Threads / per_row * stride;
      }
    } else {
      LINATTN_SIMT_NO_UNROLL
      for (int i = thread; i < count; i += Threads) {
        f(i / per_row, i % per_row * size, i / per_row * stride + i % per_row * size);
      }
    }
  }
};

/// `size` tokens once for each member, 64 at a time, in one or two stages: with two, a tile is on its way while the one
/// before is worked on. start(tile, member, first, count) begins to copy, finish(...) ends it for what this thread has
/// copied; use(...) comes behind a barrier. before() is called once, when the first tile has come.
template <class Tile, std::size_t Stages, class Start, class Finish, class Before, class Use>
LINATTN_DEVICE void stage_in_turn(Tile (&tiles)[Stages], int size, int members, Start&& start, Finish&& finish,
                                  Before&& before, Use&& use) {
  constexpr bool two = Stages == 2;
  auto const count = [&](int first) { return size - first < Tile::tokens ? size - first : Tile::tokens; };
  if (size <= 0 || members < 1) {
    return;  // all of the block
  }
  int first = 0;
  int member = 0;
  int stage = 0;
  start(tiles[0], member, first, count(first));
  simt::copy_async_commit();
  simt::copy_async_wait<0>();
  finish(tiles[0], member, first, count(first));
  simt::block_sync();
  before();
  LINATTN_SIMT_NO_UNROLL
  while (true) {
    bool const last = first + Tile::tokens >= size;
    int const next = last ? 0 : first + Tile::tokens;
    int const next_member = last ? member + 1 : member;
    Tile& other = tiles[two ? 1 - stage : 0];
    if (two && next_member < members) {
      start(other, next_member, next, count(next));
      simt::copy_async_commit();
    }
    use(tiles[stage], member, first, count(first));
    if (next_member >= members) {
      return;
    }
    if (!two) {
      simt::block_sync();  // the tile has been read
      start(other, next_member, next, count(next));
      simt::copy_async_commit();
    }
    simt::copy_async_wait<0>();
    finish(other, next_member, next, count(next));
    simt::block_sync();
    first = next;
    member = next_member;
    stage = two ? 1 - stage : 0;
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
