// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A feature map's hooks applied to a block of tokens, one token a lane: buffers are [channel][token]. Polynomial maps run
// on vectors; any other map goes token by token through its scalar hooks, slower and still right. This is all of the CPU
// backend that is compiled for each map; everything else sees a map as a map_ref (cpu/map_ref.hpp).
#ifndef LINATTN_CPU_LANES_HPP
#define LINATTN_CPU_LANES_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>
#include <linattn/cpu/simd.hpp>

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
void prepare_backward_lanes(Map const& map, role r, int head, Real const* raw, Real* grad,
                                                 std::ptrdiff_t stride, int tokens, Real* partial) {
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

/// scores [rows][lanes], s = <x', y'> on entry, becomes score(s).
template <class Map, class Real>
void score_lanes(Map const& map, Real* scores, std::ptrdiff_t stride, int rows, int lanes) {
  for (int row = 0; row < rows; ++row, scores += stride) {
    for (int lane = 0; lane < lanes; lane += simd<Real>::width) {
      score_of(map, simd<Real>::load(scores + lane)).store(scores + lane);
    }
  }
}

/// As score_lanes, and grads, by score(s), becomes the gradient by s.
template <class Map, class Real>
void score_backward_lanes(Map const& map, Real* scores, Real* grads, std::ptrdiff_t stride, int rows, int lanes) {
  for (int row = 0; row < rows; ++row, scores += stride, grads += stride) {
    for (int lane = 0; lane < lanes; lane += simd<Real>::width) {
      auto const s = simd<Real>::load(scores + lane);
      (simd<Real>::load(grads + lane) * score_grad_of(map, s)).store(grads + lane);
      score_of(map, s).store(scores + lane);
    }
  }
}

/// phi[n - first][t] = feature(x_t, n) for first <= n < last.
template <class Map, class Real>
void feature_lanes(Map const& map, Real const* x, std::ptrdiff_t stride, int tokens, int first,
                                        int last, Real* phi, std::ptrdiff_t phi_stride) {
  if constexpr (PolynomialMap<Map>) {
    for (int t = 0; t < tokens; t += simd<Real>::width) {
      array_of<simd<Real>, Map::head_dim> lanes;
      load_lanes(lanes, x + t, stride);
      for (int n = first; n < last; ++n) {
        Map::packed::feature(static_cast<simd<Real> const*>(lanes), n).store(phi + (n - first) * phi_stride + t);
      }
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
void feature_backward_lanes(Map const& map, Real const* x, std::ptrdiff_t stride, int tokens,
                                                 int first, int last, Real const* phi_grad, std::ptrdiff_t phi_stride,
                                                 Real* grad) {
  if constexpr (PolynomialMap<Map>) {
    for (int t = 0; t < tokens; t += simd<Real>::width) {
      array_of<simd<Real>, Map::head_dim> lanes;
      array_of<simd<Real>, Map::head_dim> sums;
      load_lanes(lanes, x + t, stride);
      load_lanes(sums, grad + t, stride);
      for (int n = first; n < last; ++n) {
        auto const g = simd<Real>::load(phi_grad + (n - first) * phi_stride + t);
        Map::packed::feature_backward(static_cast<simd<Real> const*>(lanes), n, g, static_cast<simd<Real>*>(sums));
      }
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

/// phi[n] = feature(x', n) for one row, prepared here if it is `raw`.
template <class Map, class Real>
void feature_row(Map const& map, role r, int head, bool raw, Real* row, Real* phi) {
  if (raw) {
    map.prepare(row, r, head);
  }
  for (int n = 0; n < Map::feature_dim; ++n) {
    if constexpr (PolynomialMap<Map>) {
      phi[n] = Map::packed::feature(static_cast<Real const*>(row), n);
    } else {
      phi[n] = map.feature(static_cast<Real const*>(row), n);
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
