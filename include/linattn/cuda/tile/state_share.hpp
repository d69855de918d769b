// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which numbers of a state in global memory are a thread's, where a block goes through the state token by token; and
// their way into shared memory and back.
#ifndef LINATTN_CUDA_TILE_STATE_SHARE_HPP
#define LINATTN_CUDA_TILE_STATE_SHARE_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// A thread has `width` columns side by side in each tile of columns, and every 16th feature: its group's. It asks for
/// those of a stretch of features at once. Each sum over features is over the groups' sums, and has the same order
/// whichever way the state lies.
template <class Real, int Features, int Threads>
struct state_share {
  using piece = element_piece<Real>;
  static constexpr int width = piece::size;
  static constexpr int pieces = 16;  // side by side
  static constexpr int value_tile = pieces * width;
  static constexpr int groups = Threads / pieces;  // group g has the features g, g + groups, ...
  static constexpr int most_rounds = 10;           // a thread's pieces on their way at once
  static constexpr int all_rounds = (Features + groups - 1) / groups;
  static constexpr int stretches = (all_rounds + most_rounds - 1) / most_rounds;
  static constexpr int rounds = (all_rounds + stretches - 1) / stretches;
  static constexpr int stretch = rounds * groups;  // at most one feature a thread
  static constexpr int unrolled =
      rounds % 3 == 0 ? 3 : (rounds % 5 == 0 ? 5 : (rounds % 4 == 0 ? 4 : 1 + (rounds + 1) % 2));
  using slots = piece[std::size_t{rounds} * Threads];  // each is read by the thread that asked for it
  static_assert(stretch <= Threads,
                "linattn::state_share: got more features a stretch than threads; as many at most; "
                "lower most_rounds");

  /// A thread's. Neighbours have neighbouring columns or, where it is features that lie side by side, those. Distances,
  /// not pointers: simt::anew would hide what memory these are of.
  struct place {
    std::int64_t kv;     // of the thread's first number
    std::int64_t k_sum;  // of the first of all threads
    int group;
    int piece;
    int whole;  // a piece is one access
    int value_dim;

    LINATTN_DEVICE place(device_states<Real> const& states, std::int64_t unit, int head, int values)
        : value_dim(values) {
      std::int64_t const slot = states.slots != nullptr ? std::int64_t{states.slots[unit]} : unit;
      kv = slot * states.kv_strides[0] + head * states.kv_strides[1];
      k_sum = slot * states.k_sum_strides[0] + head * states.k_sum_strides[1];
      whole = states.kv_strides[3] == 1 && states.kv_strides[2] % width == 0 && values % width == 0 &&
              reinterpret_cast<std::uintptr_t>(states.kv + kv) % (width * sizeof(Real)) == 0;
      group = along_features(states) ? thread() % groups : thread() / pieces;
      piece = along_features(states) ? thread() / groups : thread() % pieces;
      kv += group * states.kv_strides[2] + piece * width * states.kv_strides[3];
    }
  };

  static LINATTN_DEVICE bool along_features(device_states<Real> const& states) { return states.kv_strides[2] == 1; }
  /// How many lanes away the neighbouring group has the same columns.
  static LINATTN_DEVICE int lanes_to_neighbour(device_states<Real> const& states) {
    return along_features(states) ? 1 : pieces;
  }
  static LINATTN_DEVICE Real* sum_at(device_states<Real> const& states, place const& at, int feature) {
    return states.k_sum + (at.k_sum + feature * states.k_sum_strides[2]);
  }

  /// A thread's numbers in a tile of columns and a stretch of features. Made anew each time, which the compiler sees by
  /// a `now` of its own: all addresses of a stretch, kept, would fill the registers.
  struct cursor {
    Real* kv;
    std::int64_t step;
    int left;     // features from the thread's first on, those of all groups
    int columns;  // from the thread's first on

    LINATTN_DEVICE cursor(device_states<Real> const& states, place const& at, int tile, int first, void const* now)
        : kv(states.kv + (simt::anew(at.kv, now) + first * states.kv_strides[2] + tile * states.kv_strides[3])),
          step(groups * states.kv_strides[2]),
          left(Features - first - at.group),
          columns(at.value_dim - tile - at.piece * width) {}
  };

  /// Writes the state that others read from then on: each number by the thread that will read it.
  static LINATTN_DEVICE void start(device_states<Real> const& states, place const& at,
                                   device_states<Real const> const& initial, std::int64_t unit, int head) {
    bool const given = initial.present();
    device_slot<Real const> const from = initial.at(unit, head);
    LINATTN_SIMT_NO_UNROLL
    for (int n = thread(); states.k_sum != nullptr && thread() < stretch && n < Features; n += stretch) {
      Real const x = given && from.k_sum != nullptr ? simt::load(from.k_sum + n * from.k_sum_stride) : Real(0);
      simt::store(sum_at(states, at, n), x);
    }
    LINATTN_SIMT_NO_UNROLL
    for (int tile = 0; tile < at.value_dim; tile += value_tile) {
      cursor to(states, at, tile, 0, nullptr);
      LINATTN_SIMT_NO_UNROLL
      for (int n = at.group; n < Features; n += groups, to.kv += to.step) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < width; ++i) {
          if (i < to.columns) {
            std::int64_t const column = tile + at.piece * width + i;
            Real const x = given ? simt::load(from.kv + n * from.feature_stride + column * from.value_stride) : Real(0);
            simt::store(to.kv + i * states.kv_strides[3], x);
          }
        }
      }
    }
  }

  /// A thread's numbers of a stretch into shared memory, asynchronously; zeros for those that are not there.
  static LINATTN_DEVICE void ask(device_states<Real> const& states, slots& s, place const& at, cursor const& begin) {
    simt::shared_address to = simt::to_shared(s + thread());
    Real const* from = begin.kv;
    if (at.whole != 0) {
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < rounds; ++n, to += Threads * sizeof(piece), from += begin.step) {
        simt::copy_async<16>(to, from, begin.columns > 0 && n * groups < begin.left ? 16 : 0);
      }
    } else {
      constexpr int size = static_cast<int>(sizeof(Real));
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < rounds; ++n, to += Threads * sizeof(piece), from += begin.step) {
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < width; ++i) {
          bool const there = begin.columns > i && n * groups < begin.left;
          simt::copy_async<size>(to + static_cast<unsigned>(i * size), from + i * states.kv_strides[3],
                                 there ? size : 0);
        }
      }
    }
    simt::copy_async_commit();
  }

  /// The key, features by values, joins a thread's numbers of a stretch if `update`; then the queries read them. phi:
  /// the key's features of the stretch, then each query's.
  template <std::size_t Count, std::size_t Size>
  static LINATTN_DEVICE void advance(device_states<Real> const& states, slots const& s, Real const (&phi)[Size],
                                     place const& at, cursor const& begin, bool update, piece const& v,
                                     piece (&out)[Count]) {
    Real* to = begin.kv;
    if (at.whole != 0) {
      LINATTN_SIMT_NO_UNROLL
      for (int first = 0; first < rounds; first += unrolled) {
        LINATTN_SIMT_UNROLL
        for (int n = first; n < first + unrolled; ++n, to += begin.step) {
          piece const x = take(s[n * Threads + thread()], phi + n * groups + at.group, v, out);
          if (update && begin.columns > 0 && n * groups < begin.left) {
            simt::store(reinterpret_cast<piece*>(to), x);
          }
        }
      }
    } else {
      LINATTN_SIMT_NO_UNROLL
      for (int n = 0; n < rounds; ++n, to += begin.step) {
        piece const x = take(s[n * Threads + thread()], phi + n * groups + at.group, v, out);
        LINATTN_SIMT_UNROLL
        for (int i = 0; i < width; ++i) {
          if (update && begin.columns > i && n * groups < begin.left) {
            simt::store(to + i * states.kv_strides[3], x.e[i]);
          }
        }
      }
    }
  }

 private:
  static LINATTN_DEVICE int thread() { return static_cast<int>(simt::thread_idx().x); }

  template <std::size_t Count>
  static LINATTN_DEVICE piece take(piece x, Real const* phi, piece const& v, piece (&out)[Count]) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < width; ++i) {
      x.e[i] += phi[0] * v.e[i];
    }
    LINATTN_SIMT_UNROLL
    for (std::size_t m = 0; m < Count; ++m) {
      Real const weight = phi[(1 + m) * stretch];
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < width; ++i) {
        out[m].e[i] += weight * x.e[i];
      }
    }
    return x;
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
