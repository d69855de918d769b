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
    Element const* from[std::size_t{kThreads}];  // null beyond the last row
  };
  struct nothing {};
  using Shared = std::conditional_t<in_shared, shared_rows, nothing>;

  static std::int64_t items(Params const& p) {
    std::int64_t const rows = p.batch * p.time * (Map::all_heads ? 1 : p.heads);
    return (rows + kThreads - 1) / kThreads;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    std::int64_t const first = (p.first_item + static_cast<std::int64_t>(simt::block_idx().x)) * kThreads;
    std::int64_t const number = first + static_cast<std::int64_t>(simt::thread_idx().x);
    std::int64_t const total = p.batch * p.time * (Map::all_heads ? 1 : p.heads);
    if constexpr (in_shared) {
      prepare_in_shared(p, s, number, number < total, total - first);
    } else if (number < total) {
      if constexpr (Map::all_heads) {
        prepare_token(p, number / p.time, number % p.time);
      } else {
        prepare_row(p, number);
      }
    }
  }

 private:
  static LINATTN_DEVICE void prepare_row(Params const& p, std::int64_t number) {
    std::int64_t const batch = number / p.time / p.heads;
    int const head = static_cast<int>(number / p.time % p.heads);
    real x[std::size_t{dim}];
    read_row(x, p.from.row(batch, head, number % p.time), p.from.vectors);
    p.map.prepare(x, p.side, head);
    write_prepared(p.to + number * padded_dim, x);
  }

  /// Neighbouring threads copy neighbouring pieces of the rows of a block, `left` of which there are at most; a thread
  /// prepares one.
  static LINATTN_DEVICE void prepare_in_shared(Params const& p, shared_rows& s, std::int64_t number, bool there,
                                               std::int64_t left) {
    int const own = static_cast<int>(simt::thread_idx().x);
    std::int64_t const batch = number / p.time / p.heads;
    int const head = static_cast<int>(number / p.time % p.heads);
    s.from[own] = there ? p.from.row(batch, head, number % p.time) : nullptr;
    simt::block_sync();
    read_rows(p, s);
    simt::block_sync();
    if (there) {
      p.map.prepare(s.rows[own].x, p.side, head);
    }
    simt::block_sync();
    using piece = element_piece<operand_element>;
    constexpr int per_row = padded_dim / piece::size;
    auto* const to = reinterpret_cast<piece*>(p.to + (number - own) * padded_dim);
    LINATTN_SIMT_NO_UNROLL
    for (int i = own; i < kThreads * per_row; i += kThreads) {
      if (i / per_row < left) {
        simt::store(to + i, piece_of_row<operand_element>(s.rows[i / per_row].x, i % per_row));
      }
    }
  }

  static LINATTN_DEVICE void read_rows(Params const& p, shared_rows& s) {
    using piece = element_piece<Element>;
    int const own = static_cast<int>(simt::thread_idx().x);
    if (dim % piece::size == 0 && p.from.vectors) {
      constexpr int per_row = dim / piece::size;
      constexpr int together = per_row % 8 == 0 ? 8 : (per_row % 4 == 0 ? 4 : 1);
      LINATTN_SIMT_NO_UNROLL
      for (int round = 0; round < per_row; round += together) {
        piece pieces[std::size_t{together}] = {};
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < together; ++n) {
          int const i = (round + n) * kThreads + own;
          if (s.from[i / per_row] != nullptr) {
            pieces[n] = simt::load_readonly(reinterpret_cast<piece const*>(s.from[i / per_row]) + i % per_row);
          }
        }
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < together; ++n) {
          int const i = (round + n) * kThreads + own;
          LINATTN_SIMT_UNROLL
          for (int e = 0; e < piece::size; ++e) {
            s.rows[i / per_row].x[i % per_row * piece::size + e] = to_real<real>(pieces[n].e[e]);
          }
        }
      }
      return;
    }
    LINATTN_SIMT_NO_UNROLL
    for (int i = own; i < kThreads * dim; i += kThreads) {
      Element const* const from = s.from[i / dim];
      s.rows[i / dim].x[i % dim] = from != nullptr ? to_real<real>(simt::load_readonly(from + i % dim)) : real(0);
    }
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
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < padded_dim / element_piece<operand_element>::size; ++i) {
      simt::store(reinterpret_cast<element_piece<operand_element>*>(to) + i, piece_of_row<operand_element>(x, i));
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
