// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// caller_rows: rows of q or k as the caller has them, and their gradients: the way back from gradients by prepared
// rows.
#ifndef LINATTN_CUDA_TILE_CALLER_ROWS_HPP
#define LINATTN_CUDA_TILE_CALLER_ROWS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Element, class Real>
struct caller_rows {
  static constexpr int dim = Map::head_dim;

  device_rows<Element const> from;
  device_rows<Element> to;

  /// `grad`, by the prepared row, becomes that by the row and is written; `partial` takes the row's shares of the
  /// parameters' gradients, and the row is read to x.
  LINATTN_DEVICE void finish(Real (&x)[std::size_t{dim}], Real (&grad)[std::size_t{dim}], Real* partial, Map const& map,
                             role side, std::int64_t batch, int head, std::int64_t time) const {
    read_row(x, from.row(batch, head, time), from.vectors);
    finish_read(x, grad, partial, map, side, batch, head, time);
  }
  /// The same of a row x that has been read.
  LINATTN_DEVICE void finish_read(Real const (&x)[std::size_t{dim}], Real (&grad)[std::size_t{dim}], Real* partial,
                                  Map const& map, role side, std::int64_t batch, int head, std::int64_t time) const {
    map.prepare_backward(static_cast<Real const*>(x), static_cast<Real*>(grad), side, head, partial);
    write_elements(to.row(batch, head, time), to.vectors, grad);
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
