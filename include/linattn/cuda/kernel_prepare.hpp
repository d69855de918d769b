// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Prepared rows, written once to the workspace in the operand format: for maps whose rows are long, and for maps that
// prepare the rows of all heads of a token together.
#ifndef LINATTN_CUDA_KERNEL_PREPARE_HPP
#define LINATTN_CUDA_KERNEL_PREPARE_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// A thread prepares a row, long ones in shared memory; or all rows of a token, in the workspace.
template <class Map, class Element, class Operand>
struct prepare_kernel {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  static constexpr char const* name = "launching prepare_kernel";
  static constexpr int dim = Map::head_dim;
  static constexpr int padded_dim = round_up_to(dim, 16);
  static constexpr bool in_shared = dim > longest_row_in_registers && !Map::all_heads;
  struct shared_row {
    real x[std::size_t{dim}];
    real gap;  // rows of even length begin in distinct banks
  };
  static constexpr int kThreads = in_shared ? threads_of_lines(sizeof(shared_row)) : 128;
  static constexpr int kMinBlocks = 1;

  struct Params {
    Map map;
    role side;
    std::int64_t batch;
    std::int64_t time;
    int heads;
    device_rows<Element const> from;
    operand_element* to;  // (batch, head, time, padded_dim), contiguous
    real* scratch;        // all heads: (batch, time, head, dim), contiguous
    std::int64_t first_item;
  };
  struct shared_rows {
    shared_row rows[std::size_t{kThreads}];
  };
  struct nothing {};
  using Shared = std::conditional_t<in_shared, shared_rows, nothing>;

  static std::int64_t items(Params const& p) {
    std::int64_t const rows = p.batch * p.time * (Map::all_heads ? 1 : p.heads);
    return (rows + kThreads - 1) / kThreads;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    std::int64_t const block = p.first_item + static_cast<std::int64_t>(simt::block_idx().x);
    std::int64_t const number = block * kThreads + static_cast<std::int64_t>(simt::thread_idx().x);
    if (number >= p.batch * p.time * (Map::all_heads ? 1 : p.heads)) {
      return;
    }
    if constexpr (Map::all_heads) {
      prepare_token(p, number / p.time, number % p.time);
    } else {
      if constexpr (in_shared) {
        prepare_row(p, s.rows[simt::thread_idx().x].x, number);
      } else {
        real x[std::size_t{dim}];
        prepare_row(p, x, number);
      }
    }
  }

 private:
  static LINATTN_DEVICE void prepare_row(Params const& p, real (&x)[std::size_t{dim}], std::int64_t number) {
    std::int64_t const batch = number / p.time / p.heads;
    int const head = static_cast<int>(number / p.time % p.heads);
    read_row(x, p.from.row(batch, head, number % p.time), p.from.vectors);
    p.map.prepare(x, p.side, head);
    write_prepared(p.to + number * padded_dim, x);
  }

  static LINATTN_DEVICE void prepare_token(Params const& p, std::int64_t batch, std::int64_t time) {
    real* const rows = p.scratch + (batch * p.time + time) * p.heads * dim;
    LINATTN_SIMT_NO_UNROLL
    for (int head = 0; head < p.heads; ++head) {
      real x[std::size_t{dim}];
      read_row(x, p.from.row(batch, head, time), p.from.vectors);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        rows[head * dim + i] = x[i];
      }
    }
    p.map.prepare(rows, p.side, p.heads);
    LINATTN_SIMT_NO_UNROLL
    for (int head = 0; head < p.heads; ++head) {
      real x[std::size_t{dim}];
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        x[i] = rows[head * dim + i];
      }
      write_prepared(p.to + ((batch * p.heads + head) * p.time + time) * padded_dim, x);
    }
  }

  static LINATTN_DEVICE void write_prepared(operand_element* to, real const (&x)[std::size_t{dim}]) {
    using piece = element_piece<operand_element>;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < padded_dim / piece::size; ++i) {
      piece p;
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size; ++n) {
        int const at = i * piece::size + n;
        p.e[n] = to_element<operand_element>(at < dim ? x[at < dim ? at : 0] : real(0));
      }
      simt::store(reinterpret_cast<piece*>(to) + i, p);
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
