// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// staged_chunk: 64 tokens of short rows and of values on their way into shared memory while others are worked on. A
// thread prepares the row and converts the pieces that it has copied itself: its own wait is enough.
#ifndef LINATTN_CUDA_TILE_CHUNK_HPP
#define LINATTN_CUDA_TILE_CHUNK_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Thread r takes query r, thread 64 + r key r; all of them share the values.
template <class Map, class Element, class Operand, int Threads, int ValueTile>
struct staged_chunk {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  static_assert(sizeof(Element) == sizeof(operand_element),
                "linattn::staged_chunk: an operand format of another size than the element's; the same size; elements "
                "become operands in place");
  static constexpr int tokens = 64;
  static constexpr int dim = Map::head_dim;
  static constexpr int row_tile = round_up_to(dim, 16);
  static_assert(Threads >= 2 * tokens,
                "linattn::staged_chunk: too few threads; a thread for each row; use 128 or more");
  using raw_piece = element_piece<Element>;

  shared_tile<operand_element, tokens, row_tile> q;
  shared_tile<operand_element, tokens, row_tile> k;
  shared_tile<operand_element, tokens, ValueTile> v;

  LINATTN_DEVICE void start_rows(role side, Element const* first, std::int64_t time_stride, bool vectors, int count) {
    int const row = row_of(side);
    if (row < 0 || row >= count) {
      return;
    }
    Element const* const from = first + row * time_stride;
    Element* const to = raw_row(side, row);
    if constexpr (dim % raw_piece::size == 0) {
      if (vectors) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < dim; i += raw_piece::size) {
          simt::copy_async<16>(simt::to_shared(to + i), from + i, 16);
        }
        return;
      }
    }
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < dim; ++i) {
      simt::store(to + i, simt::load_readonly(from + i));
    }
  }

  LINATTN_DEVICE void finish_rows(role side, Map const& map, int head, int count) {
    int const row = row_of(side);
    if (row < 0) {
      return;
    }
    real x[std::size_t{dim}] = {};
    if (row < count) {
      Element const* const from = raw_row(side, row);
      if constexpr (dim % raw_piece::size == 0) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < dim; i += raw_piece::size) {
          raw_piece const p = simt::load(reinterpret_cast<raw_piece const*>(from + i));
          LINATTN_SIMT_UNROLL
          for (int n = 0; n < raw_piece::size; ++n) {
            x[i + n] = to_real<real>(p.e[n]);
          }
        }
      } else {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < dim; ++i) {
          x[i] = to_real<real>(simt::load(from + i));
        }
      }
      map.prepare(x, side, head);
    }
    write_row(side == role::query ? q : k, row, x);
  }

  /// Columns [column, column + ValueTile) of the values; zero outside the tensor.
  LINATTN_DEVICE void start_values(Element const* first, std::int64_t time_stride, bool vectors, int count, int column,
                                   int columns) {
    for_each_piece([&](int row, int at) {
      int const left = row < count ? columns - column - at : 0;
      Element const* const from = first + row * time_stride + column + at;
      auto* const to = reinterpret_cast<Element*>(v.row(row) + at);
      if (vectors) {
        int const size = left <= 0 ? 0 : (left < raw_piece::size ? left : raw_piece::size);
        simt::copy_async<16>(simt::to_shared(to), size > 0 ? from : first, size * static_cast<int>(sizeof(Element)));
      } else {
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < raw_piece::size; ++n) {
          simt::store(to + n, n < left ? simt::load_readonly(from + n) : to_element<Element>(real(0)));
        }
      }
    });
  }

  LINATTN_DEVICE void finish_values() {
    if constexpr (!std::is_same_v<Element, operand_element>) {
      for_each_piece([&](int row, int at) {
        raw_piece const p = simt::load(reinterpret_cast<raw_piece const*>(v.row(row) + at));
        element_piece<operand_element> converted;
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < raw_piece::size; ++n) {
          converted.e[n] = to_element<operand_element>(to_real<real>(p.e[n]));
        }
        simt::store(reinterpret_cast<element_piece<operand_element>*>(v.row(row) + at), converted);
      });
    }
  }

 private:
  static LINATTN_DEVICE int row_of(role side) {
    int const thread = static_cast<int>(simt::thread_idx().x);
    if (side == role::query) {
      return thread < tokens ? thread : -1;
    }
    return Threads == 2 * tokens || thread < 2 * tokens ? thread - tokens : -1;
  }
  LINATTN_DEVICE Element* raw_row(role side, int row) {
    return reinterpret_cast<Element*>(side == role::query ? q.row(row) : k.row(row));
  }

  /// The pieces of the values that this thread copies and converts.
  template <class F>
  static LINATTN_DEVICE void for_each_piece(F&& f) {
    constexpr int per_row = ValueTile / raw_piece::size;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < tokens * per_row / Threads; ++i) {
      int const piece = i * Threads + static_cast<int>(simt::thread_idx().x);
      f(piece / per_row, piece % per_row * raw_piece::size);
    }
  }
};

/// Two neighbouring numbers of an output row, as far as they are inside it. `vectors`: rows begin at 16-byte
/// boundaries.
template <class Element, class Real>
LINATTN_DEVICE void write_pair(Element* row, int column, int columns, bool vectors, Real low, Real high) {
  struct alignas(2 * sizeof(Element)) pair {
    Element low, high;
  };
  if (vectors && column + 1 < columns) {
    simt::store(reinterpret_cast<pair*>(row + column), pair{to_element<Element>(low), to_element<Element>(high)});
    return;
  }
  if (column < columns) {
    simt::store(row + column, to_element<Element>(low));
  }
  if (column + 1 < columns) {
    simt::store(row + column + 1, to_element<Element>(high));
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
