// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// staged_chunk: 64 tokens of short rows and of values on their way into shared memory while others are worked on. A
// thread prepares the rows and converts the pieces that it has copied itself: its own wait is enough.
#ifndef LINATTN_CUDA_TILE_CHUNK_HPP
#define LINATTN_CUDA_TILE_CHUNK_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// What a chunk's copies need to know; the same for all chunks of a sweep but `first_token` and `count`.
template <class Element>
struct chunk_source {
  device_rows<Element const> const& q;
  device_rows<Element const> const& k;
  device_rows<Element const> const& v;
  std::int64_t batch;
  int head;     // of q
  int kv_head;  // of k and v
  int column;   // the first of the values
  int columns;  // of all values
};

/// `Threads` threads, numbered from 0, share the rows, those of q, if Queries, then those of k, if Keys; and so many
/// the values.
template <class Map, class Element, class Operand, int Threads, int ValueTile, bool Queries = true, bool Keys = true>
struct staged_chunk {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  static_assert(sizeof(Element) == sizeof(operand_element),
                "linattn::staged_chunk: an operand format of another size than the element's; the same size; elements "
                "become operands in place");
  static constexpr int tokens = 64;
  static constexpr int dim = Map::head_dim;
  static constexpr int row_tile = round_up_to(dim, 16);
  static constexpr int rows = (Queries ? tokens : 0) + (Keys ? tokens : 0);
  using raw_piece = element_piece<Element>;
  static constexpr int pieces_per_row = ValueTile / raw_piece::size;
  static constexpr int pieces = tokens * pieces_per_row / Threads;  // of values, a thread
  static_assert(pieces_per_row * tokens % Threads == 0 && Threads % pieces_per_row == 0,
                "linattn::staged_chunk: threads that cannot share the values evenly; a power of two; change the tile");

  shared_tile<operand_element, tokens, row_tile> q;
  shared_tile<operand_element, tokens, row_tile> k;
  shared_tile<operand_element, tokens, ValueTile> v;

  /// Copies the rows of `count` tokens from `token` on; the caller commits.
  LINATTN_DEVICE void start_rows(int thread, chunk_source<Element> const& from, std::int64_t token, int count) {
    for_each_row(thread, [&](role side, int row) {
      device_rows<Element const> const& all = side == role::query ? from.q : from.k;
      if (row < count) {
        copy_row<dim>(raw_row(side, row),
                      all.row(from.batch, side == role::query ? from.head : from.kv_head, token + row), all.vectors);
      }
    });
  }
  /// The same for the values; zeros outside the tensor.
  LINATTN_DEVICE void start_values(int thread, chunk_source<Element> const& from, std::int64_t token, int count) {
    int const row = thread / pieces_per_row;
    int const at = thread % pieces_per_row * raw_piece::size;
    Element const* const valid = from.v.row(from.batch, from.kv_head, token);
    Element const* const first = valid + from.column + at;
    if (from.v.vectors && count == tokens && from.column + ValueTile <= from.columns) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < pieces; ++i) {
        int const r = row + i * (Threads / pieces_per_row);
        simt::copy_async<16>(simt::to_shared(v.row(r) + at), first + r * from.v.time_stride, 16);
      }
    } else {
      LINATTN_SIMT_NO_UNROLL
      for (int r = row; r < tokens; r += Threads / pieces_per_row) {
        int const left = r < count ? from.columns - from.column - at : 0;
        int const size = left < 0 ? 0 : (left < raw_piece::size ? left : raw_piece::size);
        copy_piece(reinterpret_cast<Element*>(v.row(r) + at), size > 0 ? first + r * from.v.time_stride : valid,
                   from.v.vectors, size);
      }
    }
  }

  /// Makes operands of the rows that this thread has copied, after its wait; zeros after `count` tokens.
  LINATTN_DEVICE void finish_rows(int thread, Map const& map, chunk_source<Element> const& from, int count) {
    for_each_row(thread, [&](role side, int row) {
      real x[std::size_t{dim}] = {};
      if (row < count) {
        Element const* const raw = raw_row(side, row);
        read_copied_row(x, raw);
        if (side == role::query) {  // a role that is known: or the parameters' addresses would be looked up in memory
          simt::anew(map, raw).prepare(x, role::query, from.head);
        } else {
          simt::anew(map, raw).prepare(x, role::key, from.kv_head);
        }
      }
      write_row(side == role::query ? q : k, row, x);
    });
  }
  /// The same for the values.
  LINATTN_DEVICE void finish_values(int thread) {
    if constexpr (!std::is_same_v<Element, operand_element>) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < pieces; ++i) {
        int const row = thread / pieces_per_row + i * (Threads / pieces_per_row);
        auto* const place = v.row(row) + thread % pieces_per_row * raw_piece::size;
        raw_piece const p = simt::load(reinterpret_cast<raw_piece const*>(place));
        simt::store(reinterpret_cast<element_piece<operand_element>*>(place), convert_piece<operand_element, real>(p));
      }
    }
  }

 private:
  LINATTN_DEVICE Element* raw_row(role side, int row) {
    return reinterpret_cast<Element*>(side == role::query ? q.row(row) : k.row(row));
  }

  /// f(side, row) for each row of this thread.
  template <class F>
  static LINATTN_DEVICE void for_each_row(int thread, F&& f) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < (rows + Threads - 1) / Threads; ++i) {
      int const at = i * Threads + thread;
      if (rows % Threads == 0 || at < rows) {
        bool const query = Queries && (!Keys || at < tokens);
        f(query ? role::query : role::key, Queries && !query ? at - tokens : at);
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
