// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From gradients by prepared rows to those by the caller's rows, through the map's prepare_backward; and the rows'
// shares of the parameters' gradients, a sum a block. A thread takes rows, and has long ones in shared memory; of maps
// that prepare all heads of a token together it takes whole tokens.
#ifndef LINATTN_CUDA_KERNEL_FINISH_GRADS_HPP
#define LINATTN_CUDA_KERNEL_FINISH_GRADS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/caller_rows.hpp>
#include <linattn/cuda/tile/line_sums.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Element, class Real>
struct finish_grads_kernel {
  static constexpr char const* name = "launching finish_grads_kernel";
  static constexpr int dim = Map::head_dim;
  static constexpr int gradient_size = Map::gradient_size;
  static constexpr bool in_shared = dim > longest_row_in_registers;
  struct shared_row {
    Real x[std::size_t{dim}];
    Real grad[std::size_t{dim}];
    Real gap;  // lines of even length begin in distinct banks
  };
  struct nothing {};
  using row_type = std::conditional_t<in_shared, shared_row, nothing>;
  static constexpr int line = gradient_size + 1;  // a thread's shares of the parameters' gradients, and a gap
  static constexpr int kThreads = Map::all_heads ? 128 : threads_of_lines(sizeof(row_type) + line * sizeof(Real));
  static constexpr int kMinBlocks = 1;
  static constexpr int rows = 8 * kThreads;                 // of a head, a block
  static constexpr std::int64_t most_token_threads = 4096;  // all heads: each has a partial sum of all parameters

  struct Params {
    Map map;
    role side;
    std::int64_t batch;
    std::int64_t time;
    int heads;
    caller_rows<Map, Element, Real> caller;
    device_rows<Real> grads;  // by the prepared rows; all heads: those of a token lie behind each other
    Real* partials;           // [parts][heads][gradient_size]
    Real* scratch;            // all heads: (batch, time, head, dim), contiguous
    std::int64_t first_item;
    // The gradient by a row may come in parts: of each tile of values, of each query head that reads a key head.
    int tiles = 1;
    std::int64_t tile_stride = 0;
    int members = 1;
    int head_step = 1;
    int member_step = 0;
  };
  struct shared_lines {
    row_type rows[std::size_t{kThreads}];
    Real partials[std::size_t{kThreads}][std::size_t{line}];
    line_sums<Real, gradient_size, kThreads> sums;
  };
  using Shared = std::conditional_t<Map::all_heads, nothing, shared_lines>;

  /// How many partial sums there are for each head.
  static std::int64_t parts(std::int64_t tokens) {
    return Map::all_heads ? (std::min)(tokens, most_token_threads) : (tokens + rows - 1) / rows;
  }
  static std::int64_t items(Params const& p) {
    std::int64_t const count = parts(p.batch * p.time);
    return Map::all_heads ? (count + kThreads - 1) / kThreads : count * p.heads;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    std::int64_t const block = p.first_item + static_cast<std::int64_t>(simt::block_idx().x);
    if constexpr (Map::all_heads) {
      std::int64_t const tokens = p.batch * p.time;
      std::int64_t const threads = tokens < most_token_threads ? tokens : most_token_threads;
      std::int64_t const thread = block * kThreads + static_cast<std::int64_t>(simt::thread_idx().x);
      if (thread < threads) {
        finish_tokens(p, thread, threads, tokens);
      }
    } else {
      finish_rows(p, s, block);
    }
  }

 private:
  static LINATTN_DEVICE void finish_rows(Params const& p, Shared& s, std::int64_t block) {
    int const thread = static_cast<int>(simt::thread_idx().x);
    int const head = static_cast<int>(block % p.heads);
    std::int64_t const part = block / p.heads;
    Real* const partial = s.partials[thread];
    LINATTN_SIMT_NO_UNROLL
    for (int n = 0; n < gradient_size; ++n) {
      partial[n] = Real(0);
    }
    LINATTN_SIMT_NO_UNROLL
    for (int i = thread; i < rows; i += kThreads) {
      std::int64_t const number = part * rows + i;
      if (number >= p.batch * p.time) {
        break;
      }
      if constexpr (in_shared) {
        finish_row(p, s.rows[thread].x, s.rows[thread].grad, partial, head, number);
      } else {
        Real x[std::size_t{dim}];
        Real grad[std::size_t{dim}];
        finish_row(p, x, grad, partial, head, number);
      }
    }
    if constexpr (gradient_size > 0) {
      s.sums.clear();
      simt::block_sync();
      s.sums.add(s.partials[0], line, kThreads);
      simt::block_sync();
      s.sums.store(p.partials + (part * p.heads + head) * gradient_size);
    }
  }

  static LINATTN_DEVICE void finish_row(Params const& p, Real (&x)[std::size_t{dim}], Real (&grad)[std::size_t{dim}],
                                        Real* partial, int head, std::int64_t number) {
    std::int64_t const batch = number / p.time;
    std::int64_t const time = number % p.time;
    sum_parts(grad, p, batch, head, time);
    p.caller.finish(x, grad, partial, p.map, p.side, batch, head, time);
  }

  static LINATTN_DEVICE void sum_parts(Real (&grad)[std::size_t{dim}], Params const& p, std::int64_t batch, int head,
                                       std::int64_t time) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < dim; ++i) {
      grad[i] = Real(0);
    }
    int const parts = p.members * p.tiles;
    LINATTN_SIMT_NO_UNROLL
    for (int part = 0; part < parts; ++part) {
      int const from = head * p.head_step + part / p.tiles * p.member_step;
      Real x[std::size_t{dim}];
      read_row(x, static_cast<Real const*>(p.grads.row(batch, from, time)) + part % p.tiles * p.tile_stride,
               p.grads.vectors);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        grad[i] += x[i];
      }
    }
  }

  static LINATTN_DEVICE void finish_tokens(Params const& p, std::int64_t thread, std::int64_t threads,
                                           std::int64_t tokens) {
    std::int64_t const size = std::int64_t{p.heads} * gradient_size;
    Real* const partial = p.partials + thread * size;
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t n = 0; n < size; ++n) {
      partial[n] = Real(0);
    }
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t token = thread; token < tokens; token += threads) {
      std::int64_t const batch = token / p.time;
      std::int64_t const time = token % p.time;
      Real* const rows_of_token = p.scratch + token * p.heads * dim;
      Real* const grads = p.grads.row(batch, 0, time);
      LINATTN_SIMT_NO_UNROLL
      for (int i = 0; i < p.heads * dim; ++i) {
        rows_of_token[i] = to_real<Real>(simt::load(p.caller.from.row(batch, i / dim, time) + i % dim));
      }
      p.map.prepare_backward(static_cast<Real const*>(rows_of_token), grads, p.side, p.heads, partial);
      LINATTN_SIMT_NO_UNROLL
      for (int i = 0; i < p.heads * dim; ++i) {
        simt::store(p.caller.to.row(batch, i / dim, time) + i % dim, to_element<Element>(grads[i]));
      }
    }
  }
};

/// The finished sums of the parameters' gradients, [heads][gradient_size]: a block a head, parts in a fixed order.
template <class Map, class Real>
struct parameter_sums_kernel {
  static constexpr char const* name = "launching parameter_sums_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr int gradient_size = Map::gradient_size;

  struct Params {
    Real const* partials;  // [parts][heads][gradient_size]
    Real* sums;
    std::int64_t parts;
    int heads;
    std::int64_t first_item;
  };
  struct Shared {
    line_sums<Real, gradient_size, kThreads> sums;
  };

  static std::int64_t items(Params const& p) { return p.heads; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    std::int64_t const head = p.first_item + static_cast<std::int64_t>(simt::block_idx().x);
    s.sums.clear();
    s.sums.add(p.partials + head * gradient_size, std::int64_t{p.heads} * gradient_size, p.parts);
    simt::block_sync();
    s.sums.store(p.sums + head * gradient_size);
  }
};

/// Adds them to the caller's views through the map's accumulate: one block, a thread a number, heads in their order,
/// since heads, and queries and keys, may share a view.
template <class Map, class Real>
struct accumulate_kernel {
  static constexpr char const* name = "launching accumulate_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;

  struct Params {
    Map map;
    typename Map::gradients gradients;
    Real const* query_sums;
    Real const* key_sums;
    int heads;
    int kv_heads;
    std::int64_t first_item;
  };
  struct Shared {};

  static std::int64_t items(Params const&) { return 1; }

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    LINATTN_SIMT_NO_UNROLL
    for (int n = static_cast<int>(simt::thread_idx().x); n < Map::gradient_size; n += kThreads) {
      LINATTN_SIMT_NO_UNROLL
      for (int head = 0; head < p.heads; ++head) {
        p.map.accumulate(p.gradients, role::query, head, n, simt::load(p.query_sums + head * Map::gradient_size + n));
      }
      LINATTN_SIMT_NO_UNROLL
      for (int head = 0; head < p.kv_heads; ++head) {
        p.map.accumulate(p.gradients, role::key, head, n, simt::load(p.key_sums + head * Map::gradient_size + n));
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
