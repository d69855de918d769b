// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Token by token through the state: decoding, and the recurrent form. A block owns the state of a (sequence, key head),
// which stays in global memory; all queries of a group share one reading of it. Plain arithmetic, no matrix units: what
// counts is that every thread has many numbers of the state on their way while rows are read and prepared.
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
  using piece = element_piece<real>;
  static constexpr char const* name = "launching recurrent_kernel";
  static constexpr int kThreads = 256;

  static constexpr int dim = Map::head_dim;
  static constexpr int features = Map::feature_dim;
  static constexpr int queries = 4;          // of a group, at a time
  static constexpr int width = piece::size;  // columns of a thread, side by side
  static constexpr int pieces = 16;          // side by side
  static constexpr int value_tile = pieces * width;
  static constexpr int feature_groups = kThreads / pieces;  // group g has the features g, g + 16, g + 32, ...
  static constexpr int most_rounds = 10;                    // a thread's pieces of the state on their way at once
  static constexpr int all_rounds = (features + feature_groups - 1) / feature_groups;
  static constexpr int stretches = (all_rounds + most_rounds - 1) / most_rounds;
  static constexpr int rounds = (all_rounds + stretches - 1) / stretches;
  static constexpr int unrolled =
      rounds % 3 == 0 ? 3 : (rounds % 5 == 0 ? 5 : (rounds % 4 == 0 ? 4 : (rounds % 2 == 0 ? 2 : 1)));
  static constexpr int stretch = rounds * feature_groups;  // features, one a thread at most
  static constexpr int kMinBlocks = stretches > 1 || sizeof(real) > 4 ? 2 : (rounds > 4 ? 3 : 4);
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
    piece state[std::size_t{rounds} * kThreads];  // each read by the thread that asked for it
    piece partial[std::size_t{feature_groups} / 2 * queries * pieces];
    piece values[2][std::size_t{pieces}];
    alignas(16) real rows[std::size_t{1 + queries} * dim];  // the key, then the queries
    real phi[2][std::size_t{1 + queries} * stretch];        // of the same, for this stretch of features and the next
    real den[std::size_t{kThreads} / 32 * queries];
  };

  static std::int64_t items(Params const& p) { return p.shape.sequences * p.shape.kv_heads; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    int const head = item.digit(p.shape.kv_heads);
    device_sequence const sequence = p.shape.sequence(item.rest());
    take_sequence(p, s, place(p, sequence, head), sequence);
  }

 private:
  /// Which numbers of the state are a thread's. Neighbours have neighbouring columns or, where it is features that lie
  /// side by side, those; a sum has the same order either way. Distances, not pointers: simt::anew would hide what
  /// memory these are of.
  struct place {
    std::int64_t kv;     // of the thread's first number
    std::int64_t k_sum;  // of the first of all threads
    std::int64_t batch;
    int head;
    int group;  // of features
    int piece;  // of the columns of a tile
    int whole;  // a piece of the state is one access

    LINATTN_DEVICE place(Params const& p, device_sequence const& sequence, int h) : batch(sequence.batch), head(h) {
      std::int64_t const slot =
          p.states.slots != nullptr ? std::int64_t{p.states.slots[sequence.index]} : sequence.index;
      kv = slot * p.states.kv_strides[0] + h * p.states.kv_strides[1];
      k_sum = slot * p.states.k_sum_strides[0] + h * p.states.k_sum_strides[1];
      whole = p.states.kv_strides[3] == 1 && p.states.kv_strides[2] % width == 0 && p.shape.value_dim % width == 0 &&
              reinterpret_cast<std::uintptr_t>(p.states.kv + kv) % (width * sizeof(real)) == 0;
      group = along_features(p) ? thread() % feature_groups : thread() / pieces;
      piece = along_features(p) ? thread() / feature_groups : thread() % pieces;
      kv += group * p.states.kv_strides[2] + piece * width * p.states.kv_strides[3];
    }
  };
  static LINATTN_DEVICE bool along_features(Params const& p) { return p.states.kv_strides[2] == 1; }
  static LINATTN_DEVICE real* sum_at(Params const& p, place const& at, int n) {
    return p.states.k_sum + (at.k_sum + n * p.states.k_sum_strides[2]);
  }

  /// A thread's numbers in a tile of columns, from the feature first + group on: `left` features, the thread's, those
  /// of other groups and its own again, and so on.
  struct cursor {
    real* kv;
    std::int64_t step;
    int left;
    int columns;

    LINATTN_DEVICE cursor(Params const& p, place const& at, int tile, int first, void const* now)
        : kv(p.states.kv + (simt::anew(at.kv, now) + first * p.states.kv_strides[2] + tile * p.states.kv_strides[3])),
          step(feature_groups * p.states.kv_strides[2]),
          left(features - first - at.group),
          columns(p.shape.value_dim - tile - at.piece * width) {}
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
    if (!p.in_place) {
      start(p, at, sequence.index);
    }
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

  /// Every number is written by the thread that will read it.
  static LINATTN_DEVICE void start(Params const& p, place const& at, std::int64_t sequence) {
    bool const given = p.initial.present();
    device_slot<real const> const from = p.initial.at(sequence, at.head);
    LINATTN_SIMT_NO_UNROLL
    for (int n = thread(); p.states.k_sum != nullptr && thread() < stretch && n < features; n += stretch) {
      real const x = given && from.k_sum != nullptr ? simt::load(from.k_sum + n * from.k_sum_stride) : real(0);
      simt::store(sum_at(p, at, n), x);
    }
    LINATTN_SIMT_NO_UNROLL
    for (int tile = 0; tile < p.shape.value_dim; tile += value_tile) {
      cursor to(p, at, tile, 0, nullptr);
      LINATTN_SIMT_NO_UNROLL
      for (int n = at.group; n < features; n += feature_groups, to.kv += to.step) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < width; ++i) {
          if (i < to.columns) {
            std::int64_t const column = tile + at.piece * width + i;
            real const x = given ? simt::load(from.kv + n * from.feature_stride + column * from.value_stride) : real(0);
            simt::store(to.kv + i * p.states.kv_strides[3], x);
          }
        }
      }
    }
  }

  /// What comes from memory is asked for first, all at once; rows are prepared while the state is on its way.
  static LINATTN_DEVICE void take_token(Params const& p, Shared& s, place const& at, token const& t) {
    // Else what all tokens share would be computed before the first and fill the registers.
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
    ask_for_state(p, s, at, 0, 0, p.v.row(0, 0, t.time));
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
    return there ? simt::load(sum_at(p, at, n)) : real(0);
  }

  /// A thread's numbers of a stretch into shared memory; zeros for those that are not there.
  static LINATTN_DEVICE void ask_for_state(Params const& p, Shared& s, place const& at, int tile, int first,
                                           void const* now) {
    cursor const begin(p, at, tile, first, now);
    simt::shared_address to = simt::to_shared(s.state + thread());
    real const* from = begin.kv;
    if (at.whole) {
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < rounds; ++n, to += kThreads * sizeof(piece), from += begin.step) {
        simt::copy_async<16>(to, from, begin.columns > 0 && n * feature_groups < begin.left ? 16 : 0);
      }
    } else {
      constexpr int size = static_cast<int>(sizeof(real));
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < rounds; ++n, to += kThreads * sizeof(piece), from += begin.step) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < width; ++i) {
          bool const there = begin.columns > i && n * feature_groups < begin.left;
          simt::copy_async<size>(to + static_cast<unsigned>(i * size), from + i * p.states.kv_strides[3],
                                 there ? size : 0);
        }
      }
    }
    simt::copy_async_commit();
  }

  /// A thread a row: the key's in one warp, the queries' in the next.
  static LINATTN_DEVICE void prepare(Params const& p, Shared& s, place const& at, token const& t) {
    int const member = thread() - 32;
    if (thread() == 0) {
      prepare_row<role::key>(p, s.rows, at.head);
    } else if (member >= 0 && member < t.count) {
      prepare_row<role::query>(p, s.rows + (1 + member) * dim, p.shape.query_head(at.head, t.member + member));
    }
  }
  template <role Role>
  static LINATTN_DEVICE void prepare_row(Params const& p, real* x, int head) {
    if constexpr (dim <= longest_row_in_registers / 2) {  // the state has the other registers
      real y[std::size_t{dim}];
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        y[i] = x[i];
      }
      p.map.prepare(y, Role, head);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < dim; ++i) {
        x[i] = y[i];
      }
    } else {
      p.map.prepare(x, Role, head);
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
        // Addresses once more: those that were asked for would fill the registers until now.
        cursor const begin(p, at, tile, first, s.phi[buffer]);
        advance<Count>(p, s, s.phi[buffer], at, begin, t.update, v, out);
        bool const last = stretches == 1 || first + stretch >= features;
        if (!last || more) {
          ask_for_state(p, s, at, last ? tile + value_tile : tile, last ? 0 : first + stretch, s.phi[buffer ^ 1]);
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
    bool const inside = stretches * stretch == features || n < features;
    real const key = t.update && inside ? p.map.feature(static_cast<real const*>(s.rows), n) : real(0);
    phi[thread()] = key;
    if (p.states.k_sum != nullptr && first_time && inside) {
      sum += key;
      if (t.update) {
        simt::store(sum_at(p, at, n), sum);
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

  /// The key joins a thread's numbers of a stretch; then the queries read them.
  template <int Count>
  static LINATTN_DEVICE void advance(Params const& p, Shared const& s,
                                     real const (&phi)[std::size_t{1 + queries} * stretch], place const& at,
                                     cursor const& begin, bool update, piece const& v,
                                     piece (&out)[std::size_t{Count}]) {
    real* to = begin.kv;
    if (at.whole) {
      LINATTN_SIMT_NO_UNROLL
      for (int first = 0; first < rounds; first += unrolled) {
        LINATTN_SIMT_UNROLL
        for (int n = first; n < first + unrolled; ++n, to += begin.step) {
          piece const x = take<Count>(s, phi, at.group, n, v, out);
          if (update && begin.columns > 0 && n * feature_groups < begin.left) {
            simt::store(reinterpret_cast<piece*>(to), x);
          }
        }
      }
    } else {
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < rounds; ++n, to += begin.step) {
        piece const x = take<Count>(s, phi, at.group, n, v, out);
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < width; ++i) {
          if (update && begin.columns > i && n * feature_groups < begin.left) {
            simt::store(to + i * p.states.kv_strides[3], x.e[i]);
          }
        }
      }
    }
  }
  template <int Count>
  static LINATTN_DEVICE piece take(Shared const& s, real const (&phi)[std::size_t{1 + queries} * stretch], int group,
                                   int n, piece const& v, piece (&out)[std::size_t{Count}]) {
    real const* const feature = phi + n * feature_groups + group;
    piece x = s.state[n * kThreads + thread()];
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < width; ++i) {
      x.e[i] += feature[0] * v.e[i];
    }
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < Count; ++m) {
      real const weight = feature[(1 + m) * stretch];
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < width; ++i) {
        out[m].e[i] += weight * x.e[i];
      }
    }
    return x;
  }

  template <int Count>
  static LINATTN_DEVICE void write(Params const& p, Shared& s, place const& at, token const& t, int tile,
                                   piece const (&out)[std::size_t{Count}], real const (&den)[std::size_t{Count}]) {
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < Count; ++m) {
      piece both = out[m];  // of two groups that a warp has whichever way it lies
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < width; ++i) {
        both.e[i] += simt::shuffle_xor(both.e[i], along_features(p) ? 1 : pieces);
      }
      if (at.group % 2 == 0) {
        s.partial[(at.group / 2 * queries + m) * pieces + at.piece] = both;
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
        for (int g = 0; g < feature_groups / 2; ++g) {
          x[g % 2] += s.partial[(g * queries + m) * pieces + c / width].e[c % width];
        }
        simt::store(p.out.row(at.batch, q_head, t.time) + tile + c, to_element<Element>((x[0] + x[1]) * scale));
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
