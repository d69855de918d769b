// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Token by token through the state: decoding, and the recurrent form. A block owns the state of a (sequence, key head),
// which stays in global memory; all queries of a group share one reading of it. Plain arithmetic, no matrix units.
#ifndef LINATTN_CUDA_KERNEL_RECURRENT_HPP
#define LINATTN_CUDA_KERNEL_RECURRENT_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
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
  static constexpr int kMinBlocks = 2;
  static constexpr int dim = Map::head_dim;
  static constexpr int queries = 4;        // of a group, at a time
  static constexpr int feature_tile = 256;  // one a thread
  static constexpr int value_tile = 64;    // a lane a column, two warps side by side
  static constexpr int feature_groups = 4;

  struct Params {
    Map map;
    Norm normalizer;
    device_shape shape;
    device_rows<row_element const> q;
    device_rows<row_element const> k;
    device_rows<Element const> v;
    device_rows<Element> out;
    device_rows<real> denominator;        // data may be null
    device_states<real const> initial;    // may be absent: zero; or the states themselves
    device_states<real> states;           // one a sequence; k_sum may be absent
    bool in_place;                        // initial is states
    std::int64_t first_item;
  };
  struct Shared {
    real k[std::size_t{dim}];
    real q[std::size_t{queries} * dim];
    real phi_k[std::size_t{feature_tile}];
    real phi_q[std::size_t{queries} * feature_tile];
    real partial[std::size_t{feature_groups} * queries * value_tile];
    real den[std::size_t{kThreads} / 32 * queries];
  };

  static std::int64_t items(Params const& p) { return p.shape.sequences * p.shape.kv_heads; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const head = item.digit(p.shape.kv_heads);
    device_sequence const sequence = p.shape.sequence(item.rest());
    device_slot<real> const state = p.states.at(sequence.index, head);
    if (!p.in_place) {
      start(p, state, sequence.index, head);
    }
    // Where every query sees everything, all keys come first; where there are no queries, they come all the same.
    bool const keys_first = !p.shape.causal || p.shape.group() == 0;
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t t = sequence.begin; keys_first && t < sequence.end; ++t) {
      take_token(p, s, state, sequence.batch, head, t, true, 0, 0);
    }
    LINATTN_SIMT_NO_UNROLL
    for (std::int64_t t = sequence.begin; t < sequence.end; ++t) {
      LINATTN_SIMT_NO_UNROLL
      for (int member = 0; member < p.shape.group(); member += queries) {
        int const left = p.shape.group() - member;
        take_token(p, s, state, sequence.batch, head, t, p.shape.causal && member == 0, member,
                   left < queries ? left : queries);
      }
    }
  }

 private:
  static LINATTN_DEVICE int thread() { return static_cast<int>(simt::thread_idx().x); }
  static LINATTN_DEVICE int column_of(int pass) { return pass * value_tile + simt::warp() % 2 * 32 + simt::lane(); }
  static LINATTN_DEVICE int first_feature() { return simt::warp() / 2; }

  /// Every number is written by the thread that will read it.
  static LINATTN_DEVICE void start(Params const& p, device_slot<real> const& state, std::int64_t sequence, int head) {
    bool const given = p.initial.present();
    device_slot<real const> const from = p.initial.at(sequence, head);
    LINATTN_SIMT_NO_UNROLL
    for (int n = thread(); state.k_sum != nullptr && n < Map::feature_dim; n += kThreads) {
      real const x = given && from.k_sum != nullptr ? simt::load(from.k_sum + n * from.k_sum_stride) : real(0);
      simt::store(state.k_sum + n * state.k_sum_stride, x);
    }
    LINATTN_SIMT_NO_UNROLL
    for (int pass = 0; pass * value_tile < p.shape.value_dim; ++pass) {
      int const column = column_of(pass);
      LINATTN_SIMT_NO_UNROLL
      for (int n = first_feature(); column < p.shape.value_dim && n < Map::feature_dim; n += feature_groups) {
        real const x =
            given ? simt::load(from.kv + n * from.feature_stride + column * from.value_stride) : real(0);
        simt::store(state.kv + n * state.feature_stride + column * state.value_stride, x);
      }
    }
  }

  /// One key into the state, if `update`; then `count` queries of its group, from `member` on, through it.
  static LINATTN_DEVICE void take_token(Params const& p, Shared& s, device_slot<real> const& state, std::int64_t batch,
                                        int head, std::int64_t time, bool update, int member, int count) {
    simt::block_sync();  // the rows of the last token have been read
    stage(p, s, batch, head, time, member, count);
    real den[queries] = {};
    int pass = 0;
    do {
      int const column = column_of(pass);
      bool const inside = column < p.shape.value_dim;
      real const v = update && inside ? to_real<real>(simt::load_readonly(p.v.row(batch, head, time) + column)) : real(0);
      real out[queries] = {};
      LINATTN_SIMT_NO_UNROLL
      for (int first = 0; first < Map::feature_dim; first += feature_tile) {
        simt::block_sync();  // the features of the last stretch have been read
        expand(p, s, state, first, update, count, pass == 0, den);
        simt::block_sync();
        int const last = Map::feature_dim - first < feature_tile ? Map::feature_dim - first : feature_tile;
        LINATTN_SIMT_NO_UNROLL
        for (int n = first_feature(); inside && n < last; n += feature_groups) {
          real* const at = state.kv + (first + n) * state.feature_stride + column * state.value_stride;
          real x = simt::load(at);
          if (update) {
            x += s.phi_k[n] * v;
            simt::store(at, x);
          }
          LINATTN_SIMT_UNROLL
          for (int m = 0; m < queries; ++m) {
            out[m] += m < count ? s.phi_q[m * feature_tile + n] * x : real(0);
          }
        }
      }
      if (count > 0) {
        write(p, s, out, den, batch, head, time, member, count, pass);
      }
      ++pass;
    } while (pass * value_tile < p.shape.value_dim);
  }

  /// Prepared rows: thread 0 the key, the next ones the queries.
  static LINATTN_DEVICE void stage(Params const& p, Shared& s, std::int64_t batch, int head, std::int64_t time,
                                   int member, int count) {
    int const row = thread() - 1;
    if (row >= count) {
      return;
    }
    int const q_head = row >= 0 ? p.shape.query_head(head, member + row) : 0;
    row_element const* const from = row < 0 ? p.k.row(batch, head, time) : p.q.row(batch, q_head, time);
    real* const to = row < 0 ? s.k : s.q + row * dim;
    LINATTN_SIMT_NO_UNROLL
    for (int i = 0; i < dim; ++i) {
      to[i] = to_real<real>(simt::load_readonly(from + i));
    }
    if constexpr (!Prepared) {
      p.map.prepare(to, row < 0 ? role::key : role::query, row < 0 ? head : q_head);
    }
  }

  /// A thread's feature of the key and of the queries; the first time also its share of the denominators.
  static LINATTN_DEVICE void expand(Params const& p, Shared& s, device_slot<real> const& state, int first, bool update,
                                    int count, bool first_time, real (&den)[queries]) {
    int const n = first + thread();
    if (n >= Map::feature_dim) {
      return;
    }
    real const key = update ? p.map.feature(static_cast<real const*>(s.k), n) : real(0);
    s.phi_k[thread()] = key;
    real sum = real(0);
    if (state.k_sum != nullptr && first_time) {
      real* const at = state.k_sum + n * state.k_sum_stride;
      sum = simt::load(at) + key;
      if (update) {
        simt::store(at, sum);
      }
    }
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < queries; ++m) {
      if (m < count) {
        real const x = p.map.feature(static_cast<real const*>(s.q + m * dim), n);
        s.phi_q[m * feature_tile + thread()] = x;
        den[m] += x * sum;
      }
    }
  }

  static LINATTN_DEVICE void write(Params const& p, Shared& s, real const (&out)[queries], real const (&den)[queries],
                                   std::int64_t batch, int head, std::int64_t time, int member, int count, int pass) {
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < queries; ++m) {
      s.partial[(first_feature() * queries + m) * value_tile + simt::warp() % 2 * 32 + simt::lane()] = out[m];
      if (pass == 0) {
        real const sum = simt::warp_sum(den[m]);
        if (simt::lane() == 0) {
          s.den[simt::warp() * queries + m] = sum;
        }
      }
    }
    simt::block_sync();
    int const m = thread() / value_tile;
    int const column = pass * value_tile + thread() % value_tile;
    if (m < count) {
      int const q_head = p.shape.query_head(head, member + m);
      real sum = real(0);
      LINATTN_SIMT_UNROLL
      for (int w = 0; w < kThreads / 32; ++w) {
        sum += s.den[w * queries + m];
      }
      if (p.denominator.data != nullptr && column == 0) {
        simt::store(p.denominator.row(batch, q_head, time), sum);
      }
      real scale = real(1);
      if constexpr (Norm::needs_denominator) {
        scale = p.normalizer.scale(sum);
      }
      if (column < p.shape.value_dim) {
        real x = real(0);
        LINATTN_SIMT_UNROLL
        for (int f = 0; f < feature_groups; ++f) {
          x += s.partial[(f * queries + m) * value_tile + thread() % value_tile];
        }
        simt::store(p.out.row(batch, q_head, time) + column, to_element<Element>(x * scale));
      }
    }
    simt::block_sync();
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
