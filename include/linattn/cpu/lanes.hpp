// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A feature map's hooks applied to a block of tokens, one token a lane: buffers are [channel][token]. Polynomial maps
// run on vectors; any other map goes token by token through its scalar hooks, slower and still right. This is all of
// the CPU backend that is compiled for each map; everything else sees a map as a map_ref (cpu/map_ref.hpp).
#ifndef LINATTN_CPU_LANES_HPP
#define LINATTN_CPU_LANES_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// f(x) on each column of x, gathered into an array of `Size` numbers; written back if f may change it.
template <int Size, bool WriteBack, class Real, class F>
LINATTN_ALWAYS_INLINE void for_each_token(Real* x, std::ptrdiff_t stride, int tokens, F&& f) {
  array_of<Real, Size> row;
  for (int t = 0; t < tokens; ++t) {
    for (int i = 0; i < Size; ++i) {
      row[i] = x[i * stride + t];
    }
    f(row, t);
    if constexpr (WriteBack) {
      for (int i = 0; i < Size; ++i) {
        x[i * stride + t] = row[i];
      }
    }
  }
}

template <std::size_t Size, class Real>
LINATTN_ALWAYS_INLINE void load_lanes(simd<Real> (&lanes)[Size], Real const* x, std::ptrdiff_t stride) {
  for (int i = 0; i < static_cast<int>(Size); ++i) {
    lanes[i] = simd<Real>::load(x + i * stride);
  }
}

template <std::size_t Size, class Real>
LINATTN_ALWAYS_INLINE void store_lanes(simd<Real> const (&lanes)[Size], Real* x, std::ptrdiff_t stride) {
  for (int i = 0; i < static_cast<int>(Size); ++i) {
    lanes[i].store(x + i * stride);
  }
}

/// x [head_dim][tokens], in place. Maps that see all heads at once have been prepared before (cpu/joint.hpp).
template <class Map, class Real>
void prepare_lanes(Map const& map, role r, int head, Real* x, std::ptrdiff_t stride, int tokens) {
  if constexpr (!Map::all_heads) {
    if constexpr (Map::vectorized) {
      for (int t = 0; t < tokens; t += simd<Real>::width) {
        array_of<simd<Real>, Map::head_dim> lanes;
        load_lanes(lanes, x + t, stride);
        map.prepare(lanes, r, head);
        store_lanes(lanes, x + t, stride);
      }
    } else {
      for_each_token<Map::head_dim, true>(x, stride, tokens, [&](Real* row, int) { map.prepare(row, r, head); });
    }
  }
}

/// grad [head_dim][tokens], of the prepared rows, becomes the gradient of the rows `raw` before. Adds to partial
/// [gradient_size][width] the shares of the parameters, lane by lane.
template <class Map, class Real>
void prepare_backward_lanes(Map const& map, role r, int head, Real const* raw, Real* grad, std::ptrdiff_t stride,
                            int tokens, Real* partial) {
  using vector = simd<Real>;
  constexpr int width = vector::width;
  constexpr int sums = Map::gradient_size;
  if constexpr (!Map::all_heads) {
    if constexpr (Map::vectorized) {
      array_of<vector, (sums > 0 ? sums : 1)> lane_sums;
      if constexpr (sums > 0) {
        load_lanes(lane_sums, partial, width);
      }
      for (int t = 0; t < tokens; t += width) {
        array_of<vector, Map::head_dim> x;
        array_of<vector, Map::head_dim> g;
        load_lanes(x, raw + t, stride);
        load_lanes(g, grad + t, stride);
        map.prepare_backward(x, g, r, head, lane_sums);
        store_lanes(g, grad + t, stride);
      }
      if constexpr (sums > 0) {
        store_lanes(lane_sums, partial, width);
      }
    } else {
      array_of<Real, (sums > 0 ? sums : 1)> row_sums = {};
      array_of<Real, Map::head_dim> x;
      for_each_token<Map::head_dim, true>(grad, stride, tokens, [&](Real* row, int t) {
        for (int i = 0; i < Map::head_dim; ++i) {
          x[i] = raw[i * stride + t];
        }
        map.prepare_backward(static_cast<Real const*>(x), row, r, head, row_sums);
      });
      for (int i = 0; i < sums; ++i) {
        partial[i * width] += row_sums[i];
      }
    }
  }
}

template <class Map, class Real>
LINATTN_ALWAYS_INLINE simd<Real> score_of(Map const& map, simd<Real> s) {
  if constexpr (PolynomialMap<Map>) {
    return Map::packed::score(s);
  } else {
    array_of<Real, simd<Real>::width> lanes;
    s.store(lanes);
    for (Real& lane : lanes) {
      lane = map.score(lane);
    }
    return simd<Real>::load(lanes);
  }
}

template <class Map, class Real>
LINATTN_ALWAYS_INLINE simd<Real> score_grad_of(Map const& map, simd<Real> s) {
  if constexpr (PolynomialMap<Map>) {
    return Map::packed::score_grad(s);
  } else {
    array_of<Real, simd<Real>::width> lanes;
    s.store(lanes);
    for (Real& lane : lanes) {
      lane = map.score_grad(lane);
    }
    return simd<Real>::load(lanes);
  }
}

/// Which lanes of a tile of pairs are seen: [first, end) in its row 0, and both limits grow by one a row.
struct pair_mask {
  static constexpr int none = 1 << 30;
  int first = -none;
  int end = none;

  template <class Real>
  [[nodiscard]] LINATTN_ALWAYS_INLINE simd<Real> apply(simd<Real> x, int row, int lane) const {
    int const from = first + row - lane;
    int const to = end + row - lane;
    return from > 0 || to < simd<Real>::width ? keep_lanes(x, from, to) : x;
  }
};

/// pairs [rows][lanes], s = <x', y'> on entry, becomes score(s), 0 where the mask hides it. With `extra`:
/// sums[lane] += sum_row score(s) extra[row].
template <class Map, class Real>
void score_lanes(Map const& map, Real* pairs, std::ptrdiff_t stride, int rows, int lanes, pair_mask mask,
                 Real const* extra, Real* sums) {
  using vector = simd<Real>;
  for (int lane = 0; lane < lanes; lane += vector::width) {
    vector sum(Real(0));
    Real* at = pairs + lane;
    for (int row = 0; row < rows; ++row, at += stride) {
      vector const weight = mask.apply(score_of(map, vector::load(at)), row, lane);
      weight.store(at);
      if (extra != nullptr) {
        sum = multiply_add(weight, vector(extra[row]), sum);
      }
    }
    if (extra != nullptr) {
      (vector::load(sums + lane) + sum).store(sums + lane);
    }
  }
}

/// As score_lanes without the sums, and grads, by score(s), becomes the gradient by s, masked too.
template <class Map, class Real>
void score_backward_lanes(Map const& map, Real* pairs, Real* grads, std::ptrdiff_t stride, int rows, int lanes,
                          pair_mask mask) {
  using vector = simd<Real>;
  for (int row = 0; row < rows; ++row, pairs += stride, grads += stride) {
    for (int lane = 0; lane < lanes; lane += vector::width) {
      auto const s = vector::load(pairs + lane);
      mask.apply(vector::load(grads + lane) * score_grad_of(map, s), row, lane).store(grads + lane);
      mask.apply(score_of(map, s), row, lane).store(pairs + lane);
    }
  }
}

/// f(i, begin, end, n) for the packed pairs (i, j), begin <= j < end, whose features n, n + 1, ... are in [first,
/// last): loops over coordinates, where a loop over features would look up i and j each time.
template <class Map, class F>
LINATTN_ALWAYS_INLINE void for_each_pair_row(int first, int last, F&& f) {
  if constexpr (Map::packed::c2 > 0) {
    int row = Map::packed::pairs_begin;  // the number that the pair (i, 0) would have
    for (int i = 0; i < Map::head_dim && row + i < last; ++i) {
      int const begin = (std::max)(i, first - row);
      int const end = (std::min)(Map::head_dim, last - row);
      if (begin < end) {
        f(i, begin, end, row + begin);
      }
      row += Map::head_dim - i - 1;
    }
  }
}

/// phi[n - first][t] = feature(x_t, n) for first <= n < last.
template <class Map, class Real>
void feature_lanes(Map const& map, Real const* x, std::ptrdiff_t stride, int tokens, int first, int last, Real* phi,
                   std::ptrdiff_t phi_stride) {
  if constexpr (PolynomialMap<Map>) {
    using vector = simd<Real>;
    using packed = typename Map::packed;
    for (int t = 0; t < tokens; t += vector::width) {
      Real* to = phi + t;
      Real const* const lane = x + t;
      auto const put = [&](vector value) {
        value.store(to);
        to += phi_stride;
      };
      for (int n = first; n < (std::min)(last, packed::pairs_begin); ++n) {
        bool const constant = n < packed::linear_begin;
        put(constant
                ? vector(static_cast<Real>(packed::root0))
                : vector::load(lane + (n - packed::linear_begin) * stride) * vector(static_cast<Real>(packed::root1)));
      }
      for_each_pair_row<Map>(first, last, [&](int i, int begin, int end, int) {
        vector const own = vector::load(lane + i * stride);
        if (begin == i) {
          put(own * (own * vector(static_cast<Real>(packed::square))));
          ++begin;
        }
        vector const scaled = own * vector(static_cast<Real>(packed::product));
        Real const* other = lane + begin * stride;
        for (int j = begin; j < end; ++j, other += stride) {
          put(scaled * vector::load(other));
        }
      });
    }
  } else {
    for_each_token<Map::head_dim, false>(const_cast<Real*>(x), stride, tokens, [&](Real const* row, int t) {
      for (int n = first; n < last; ++n) {
        phi[(n - first) * phi_stride + t] = map.feature(row, n);
      }
    });
  }
}

/// grad [head_dim][tokens] += sum_n phi_grad[n - first] * d feature(x, n) / dx for first <= n < last.
template <class Map, class Real>
void feature_backward_lanes(Map const& map, Real const* x, std::ptrdiff_t stride, int tokens, int first, int last,
                            Real const* phi_grad, std::ptrdiff_t phi_stride, Real* grad) {
  if constexpr (PolynomialMap<Map>) {
    using vector = simd<Real>;
    using packed = typename Map::packed;
    vector const weight(static_cast<Real>(packed::product));
    for (int t = 0; t < tokens; t += vector::width) {
      array_of<vector, Map::head_dim> lanes;
      array_of<vector, Map::head_dim> sums;
      load_lanes(lanes, x + t, stride);
      load_lanes(sums, grad + t, stride);
      Real const* from = phi_grad + t;
      auto const add = [&](int n) {
        packed::feature_backward(static_cast<vector const*>(lanes), n, vector::load(from), static_cast<vector*>(sums));
        from += phi_stride;
      };
      for (int n = first; n < (std::min)(last, packed::pairs_begin); ++n) {
        add(n);
      }
      for_each_pair_row<Map>(first, last, [&](int i, int begin, int end, int n) {
        if (begin == i) {
          add(n);
          ++begin;
        }
        vector const scaled = lanes[i] * weight;
        vector own(Real(0));
        for (int j = begin; j < end; ++j, from += phi_stride) {
          auto const g = vector::load(from);
          own = multiply_add(g, lanes[j], own);
          sums[j] = multiply_add(g, scaled, sums[j]);
        }
        sums[i] = multiply_add(own, weight, sums[i]);
      });
      store_lanes(sums, grad + t, stride);
    }
  } else {
    array_of<Real, Map::head_dim> point;
    for_each_token<Map::head_dim, true>(grad, stride, tokens, [&](Real* row, int t) {
      for (int i = 0; i < Map::head_dim; ++i) {
        point[i] = x[i * stride + t];
      }
      for (int n = first; n < last; ++n) {
        map.feature_backward(static_cast<Real const*>(point), n, phi_grad[(n - first) * phi_stride + t], row);
      }
    });
  }
}

/// phi[n] = feature(x', n) for one row, prepared here if it is `raw`. Both buffers have room for a vector more, which
/// may be read and written.
template <class Map, class Real>
void feature_row(Map const& map, role r, int head, bool raw, Real* row, Real* phi) {
  if (raw) {
    map.prepare(row, r, head);
  }
  if constexpr (PolynomialMap<Map>) {
    using vector = simd<Real>;
    using packed = typename Map::packed;
    for (int n = 0; n < packed::pairs_begin; ++n) {
      phi[n] = packed::feature(static_cast<Real const*>(row), n);
    }
    for_each_pair_row<Map>(0, Map::feature_dim, [&](int i, int begin, int end, int n) {
      vector const scaled(row[i] * static_cast<Real>(packed::product));
      for (int j = begin; j < end; j += vector::width) {  // what is too much is overwritten by the next i
        (scaled * vector::load(row + j)).store(phi + n + (j - begin));
      }
      phi[n] = row[i] * (row[i] * static_cast<Real>(packed::square));
    });
  } else {
    for (int n = 0; n < Map::feature_dim; ++n) {
      phi[n] = map.feature(static_cast<Real const*>(row), n);
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
