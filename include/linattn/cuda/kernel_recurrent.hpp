// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Token by token through the state: decoding, and the recurrent form. A block owns the state of a (sequence, key head),
// which stays in global memory; all queries of a group share one reading of it. Plain arithmetic, no matrix units: what
// counts is that every thread has many numbers of the state on their way while rows are read and prepared.
#ifndef LINATTN_CUDA_KERNEL_RECURRENT_HPP
#define LINATTN_CUDA_KERNEL_RECURRENT_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/cuda/tile/state_share.hpp>
#include <linattn/simt/reduce.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Prepared: q and k hold rows that prepare_kernel wrote, as real numbers.
template <class Map, class Norm, class Element, bool Prepared>
struct recurrent_kernel {
  using real = accumulator_t<Element>;
  using row_element = std::conditional_t<Prepared, real, Element>;
  static constexpr char const* name = "launching recurrent_kernel";
  static constexpr int kThreads = 256;
  static constexpr int dim = Map::head_dim;
  static constexpr int features = Map::feature_dim;
  static constexpr int queries = 4;  // of a group, at a time
  using share = state_share<real, features, kThreads>;
  using piece = typename share::piece;
  static constexpr int width = share::width;
  static constexpr int value_tile = share::value_tile;
  static constexpr int stretch = share::stretch;
  /// What registers allow: a map that is more than a tag has parameters to find while the state is on its way.
  static constexpr int kMinBlocks = share::stretches > 1 || sizeof(real) > 4 || sizeof(Map) > 16
                                        ? 2
                                        : (share::rounds > 4 ? 3 : 4);
  static constexpr int row_loads = ((1 + queries) * dim + kThreads - 1) / kThreads;  // of a thread
  static constexpr int early_loads = row_loads < 4 ? row_loads : 4;                  // before it asks for the state

  struct Params {
    Map map;
    Norm normalizer;
    device_shape shape;
    device_rows<row_element const> q;
    device_rows<row_element const> k;
    device_rows<Element const> v;
    device_rows<Element> out;
    device_rows<real> denominator;      // data may be null
    device_states<real const> initial;  // may be absent: zero; or the states themselves
    device_states<real> states;         // one a sequence; k_sum may be absent
    bool in_place;                      // initial is states
    std::int64_t first_item;
  };
  struct Shared {
    typename share::slots state;
    piece partial[std::size_t{share::groups} / 2 * queries * share::pieces];
    piece values[2][std::size_t{share::pieces}];
    alignas(16) real rows[std::size_t{1 + queries} * dim];  // the key, then the queries
    real phi[2][std::size_t{1 + queries} * stretch];        // of the same, for this stretch of features and the next
    real den[std::size_t{kThreads} / 32 * queries];
  };

  static std::int64_t items(Params const& p) { return p.shape.sequences * p.shape.kv_heads; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const head = item.digit(p.shape.kv_heads);
    device_sequence const sequence = p.shape.sequence(item.rest());
    place const at{{p.states, sequence.index, head, p.shape.value_dim}, sequence.batch, head};
    if (!p.in_place) {
      share::start(p.states, at, p.initial, sequence.index, head);
    }
    take_sequence(p, s, at, sequence);
  }

 private:
  struct place : share::place {
    std::int64_t batch;
    int head;
  };
  /// A token, and the queries of its group [member, member + count) that pass through the state; `update`: its key
  /// joins the state before.
  struct token {
    std::int64_t time;
    bool update;
    int member;
    int count;
  };

  static LINATTN_DEVICE int thread() { return static_cast<int>(simt::thread_idx().x); }

  static LINATTN_DEVICE void take_sequence(Params const& p, Shared& s, place const& at,
                                           device_sequence const& sequence) {
    int const group = p.shape.group();
    // Where every query sees everything, all keys come first; where there are no queries, they come all the same.
    bool keys_only = !p.shape.causal || group == 0;
    std::int64_t time = sequence.begin;
    int member = 0;
    LINATTN_SIMT_NO_UNROLL
    while (time < sequence.end) {
      int const left = keys_only ? 0 : group - member;
      bool const update = keys_only || (p.shape.causal && member == 0);
      take_token(p, s, at, {time, update, member, left < queries ? left : queries});
      member += queries;
      if (left <= queries) {
        member = 0;
        ++time;
      }
      if (keys_only && group > 0 && time == sequence.end) {
        keys_only = false;
        time = sequence.begin;
      }
    }
  }

  /// What comes from memory is asked for first, all at once; rows are prepared while the state is on its way.
  static LINATTN_DEVICE void take_token(Params const& p, Shared& s, place const& at, token const& t) {
    int const numbers = (1 + t.count) * dim;
    row_element row[std::size_t{early_loads}] = {};
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < early_loads; ++n) {
      int const i = n * kThreads + thread();
      if (i < numbers) {
        row[n] = read_row_element(p, at, t, i);
      }
    }
    Element const value = read_value(p, at, t, 0);
    real const sum = read_sum(p, at, 0);
    share::ask(p.states, s.state, at, {p.states, at, 0, 0, p.v.row(0, 0, t.time)});
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < early_loads; ++n) {
      int const i = n * kThreads + thread();
      if (i < numbers) {
        s.rows[i] = to_real<real>(row[n]);
      }
    }
    LINATTN_SIMT_NO_UNROLL
    for (int i = early_loads * kThreads + thread(); row_loads > early_loads && i < numbers; i += kThreads) {
      s.rows[i] = to_real<real>(read_row_element(p, at, t, i));
    }
    simt::block_sync();
    if constexpr (!Prepared) {
      prepare(p, s, at, t);
      simt::block_sync();
    }
    if (t.count <= 1) {
      sweep<1>(p, s, at, t, sum, value);
    } else {
      sweep<queries>(p, s, at, t, sum, value);
    }
  }

  /// Numbers of the key and of the queries, one after the other.
  static LINATTN_DEVICE row_element read_row_element(Params const& p, place const& at, token const& t, int i) {
    int const member = i / dim - 1;
    row_element const* const row = member < 0
                                       ? p.k.row(at.batch, at.head, t.time)
                                       : p.q.row(at.batch, p.shape.query_head(at.head, t.member + member), t.time);
    return simt::load_readonly(row + i % dim);
  }
  /// The last threads, which have the fewest features to compute, bring the values of a tile of columns.
  static LINATTN_DEVICE int value_of_thread() { return thread() - (kThreads - value_tile); }
  static LINATTN_DEVICE Element read_value(Params const& p, place const& at, token const& t, int tile) {
    int const column = tile + value_of_thread();
    if (t.update && column >= tile && column < p.shape.value_dim) {
      return simt::load_readonly(p.v.row(at.batch, at.head, t.time) + column);
    }
    return {};
  }
  static LINATTN_DEVICE real read_sum(Params const& p, place const& at, int first) {
    int const n = first + thread();
    bool const there = p.states.k_sum != nullptr && thread() < stretch && n < features;
    return there ? simt::load(share::sum_at(p.states, at, n)) : real(0);
  }

  /// A thread a row.
  static LINATTN_DEVICE void prepare(Params const& p, Shared& s, place const& at, token const& t) {
    int const row = thread();
    if (row == 0) {
      prepare_row<role::key>(p, s.rows, at.head);
    } else if (row <= t.count) {
      prepare_row<role::query>(p, s.rows + row * dim, p.shape.query_head(at.head, t.member + row - 1));
    }
  }
  template <role Side>
  static LINATTN_DEVICE void prepare_row(Params const& p, real* x, int head) {
    if constexpr (dim <= longest_row_in_registers / 2) {  // the state has the other registers
      real y[std::size_t{dim}];
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        y[i] = x[i];
      }
      p.map.prepare(y, Side, head);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        x[i] = y[i];
      }
    } else {
      p.map.prepare(x, Side, head);
    }
  }

  /// The whole state, a tile of columns after the other. A stretch is asked for as soon as the one before is done.
  template <int Count>
  static LINATTN_DEVICE void sweep(Params const& p, Shared& s, place const& at, token const& t, real sum,
                                   Element value) {
    real den[std::size_t{Count}] = {};
    int buffer = 0;
    int tile = 0;
    do {
      bool const more = tile + value_tile < p.shape.value_dim;
      piece out[std::size_t{Count}] = {};
      piece v{};
      LINATTN_SIMT_NO_UNROLL
      for (int first = 0; first < features; first += stretch, buffer ^= 1) {
        if (first == 0 && value_of_thread() >= 0) {
          s.values[buffer][value_of_thread() / width].e[value_of_thread() % width] = to_real<real>(value);
        }
        expand<Count>(p, s, s.phi[buffer], at, t, first, tile == 0, sum, den);
        simt::block_sync();
        if (first == 0) {
          v = s.values[buffer][at.piece];
        }
        simt::copy_async_wait<0>();
        share::advance(p.states, s.state, s.phi[buffer], at, {p.states, at, tile, first, s.phi[buffer]}, t.update, v,
                       out);
        bool const last = share::stretches == 1 || first + stretch >= features;
        if (!last || more) {
          share::ask(p.states, s.state, at,
                     {p.states, at, last ? tile + value_tile : tile, last ? 0 : first + stretch, s.phi[buffer ^ 1]});
        }
        if (!last && tile == 0) {
          sum = read_sum(p, at, first + stretch);
        }
      }
      if (more) {
        value = read_value(p, at, t, tile + value_tile);
      }
      if (t.count > 0) {
        write<Count>(p, s, at, t, tile, out, den);
      }
      tile += value_tile;
    } while (tile < p.shape.value_dim);
  }

  /// A thread's feature of the key and of the queries; the first time also its share of the denominators.
  template <int Count>
  static LINATTN_DEVICE void expand(Params const& p, Shared& s, real (&phi)[std::size_t{1 + queries} * stretch],
                                    place const& at, token const& t, int first, bool first_time, real sum,
                                    real (&den)[std::size_t{Count}]) {
    if (thread() >= stretch) {
      return;
    }
    int const n = first + thread();
    bool const inside = share::stretches * stretch == features || n < features;
    real const key = t.update && inside ? p.map.feature(static_cast<real const*>(s.rows), n) : real(0);
    phi[thread()] = key;
    if (p.states.k_sum != nullptr && first_time && inside) {
      sum += key;
      if (t.update) {
        simt::store(share::sum_at(p.states, at, n), sum);
      }
    }
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < Count; ++m) {
      bool const asks = m < t.count && inside;
      real const x = asks ? p.map.feature(static_cast<real const*>(s.rows + (1 + m) * dim), n) : real(0);
      phi[(1 + m) * stretch + thread()] = x;
      den[m] += first_time ? x * sum : real(0);
    }
  }

  template <int Count>
  static LINATTN_DEVICE void write(Params const& p, Shared& s, place const& at, token const& t, int tile,
                                   piece const (&out)[std::size_t{Count}], real const (&den)[std::size_t{Count}]) {
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < Count; ++m) {
      piece both = out[m];  // of two groups that a warp has whichever way it lies
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < width; ++i) {
        both.e[i] += simt::shuffle_xor(both.e[i], share::lanes_to_neighbour(p.states));
      }
      if (at.group % 2 == 0) {
        s.partial[(at.group / 2 * queries + m) * share::pieces + at.piece] = both;
      }
      if (tile == 0) {
        real const sum = simt::warp_sum(den[m]);
        if (simt::lane() == 0) {
          s.den[simt::warp() * queries + m] = sum;
        }
      }
    }
    simt::block_sync();
    int const m = thread() / value_tile;
    int const c = thread() % value_tile;
    if (m < t.count) {
      int const q_head = p.shape.query_head(at.head, t.member + m);
      real sum = real(0);
      LINATTN_SIMT_UNROLL
      for (int w = 0; w < kThreads / 32; ++w) {
        sum += s.den[w * queries + m];
      }
      if (p.denominator.data != nullptr && tile + c == 0) {
        simt::store(p.denominator.row(at.batch, q_head, t.time), sum);
      }
      real scale = real(1);
      if constexpr (Norm::needs_denominator) {
        scale = p.normalizer.scale(sum);
      }
      if (tile + c < p.shape.value_dim) {
        real x[2] = {};  // sums side by side: no long chain
        LINATTN_SIMT_UNROLL
        for (int g = 0; g < share::groups / 2; ++g) {
          x[g % 2] += s.partial[(g * queries + m) * share::pieces + c / width].e[c % width];
        }
        simt::store(p.out.row(at.batch, q_head, t.time) + tile + c, to_element<Element>((x[0] + x[1]) * scale));
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
