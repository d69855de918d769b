// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tiles of tokens, on which every pass works. One side, x, has a result a token and lies in lanes; the other, y, is
// summed over. Forward: x = queries, y = keys. Gradient by keys: x = keys, y = queries. Each side has prepared rows and
// a payload (v, or the output's gradient); `extra` is one more payload column, which carries the denominator (math: the
// ones column). Here: what a tile holds, how it is loaded, and which of its pairs are seen.
#ifndef LINATTN_CPU_TILES_HPP
#define LINATTN_CPU_TILES_HPP

#include <linattn/core/config.hpp>
#include <linattn/cpu/bf16_pairs.hpp>
#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/map_ref.hpp>
#include <linattn/cpu/microkernel.hpp>
#include <linattn/cpu/rows.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Features are expanded in blocks of at most this many, so that a block stays in the first-level cache.
inline constexpr int feature_block = 160;

template <class Real>
constexpr int whole_vectors(std::int64_t count) noexcept {
  return static_cast<int>(round_up(count, simd<Real>::width));
}

/// A tile of tokens [begin, begin + count). Buffers have room for `stride` tokens, a multiple of the vector width.
template <class Real>
struct operand {
  Real* rows = nullptr;       // [head_dim][stride], prepared
  Real* raw = nullptr;        // [head_dim][stride], before; where a gradient by the rows is wanted
  Real* payload = nullptr;    // panels of `stride` rows
  Real* payload_t = nullptr;  // [padded columns][stride]
  Real* extra = nullptr;      // [stride], 0 beyond count; null: no denominator
  int stride = 0;
  std::int64_t begin = 0;
  int count = 0;

  [[nodiscard]] int lanes() const noexcept { return whole_vectors<Real>(count); }
};

/// Which y tokens an x token sees.
enum class visibility { past, future, all };

/// The scratch of one worker that no tile owns.
template <class Real>
struct tile_buffers {
  Real* staging = nullptr;       // rows on their way in or out
  Real* weights = nullptr;       // [y stride][x stride]
  Real* weight_grads = nullptr;  // the same
  Real* values = nullptr;        // panels of x stride rows: sum_y w payload
  Real* sums = nullptr;          // [x stride]: sum_y w extra
  Real* grads = nullptr;         // [head_dim][x stride]: gradient by the prepared x rows
  Real* features = nullptr;      // [feature_block][stride]
  Real* x_rows = nullptr;        // [x stride][whole vectors of head_dim]: prepared x rows, token by token
  // Where products with the state take pairs: those of features, and of the payload or the state. Else null.
  bf16_pair* feature_pairs = nullptr;
  bf16_pair* value_pairs = nullptr;

  [[nodiscard]] bool in_pairs() const noexcept { return feature_pairs != nullptr; }
};

/// From a row of feature pairs to the next, where the tokens of a tile are the depth.
template <class Real>
std::ptrdiff_t pair_stride(operand<Real> const& tile) noexcept {
  return whole_vectors<Real>((tile.stride + 1) / 2);
}

/// sum_y phi(y) payload^T, in panels of feature_dim rows, and sum_y phi(y) extra.
template <class Real>
struct running_state {
  Real* kv = nullptr;
  Real* k_sum = nullptr;
  Real* local_kv = nullptr;  // if set: the sum of a segment alone, which is added to as kv and k_sum are
  Real* local_k_sum = nullptr;
  bool zero = true;  // nothing has been added yet, and kv and k_sum may be unset
};

/// The lanes of x that see any token of y, in whole vectors. Where these are the last lanes, none is missing from the
/// register tile that the first of them is in.
struct lane_range {
  int first;
  int last;
};

template <class Real>
lane_range visible_lanes(visibility sees, operand<Real> const& x, operand<Real> const& y) noexcept {
  constexpr int width = simd<Real>::width;
  std::int64_t const distance = y.begin - x.begin;
  if (sees == visibility::past) {
    int const first = row_cut(x.count).tile_begin((std::max)(0, static_cast<int>(distance)));
    return {first / width * width, x.lanes()};
  }
  if (sees == visibility::future) {
    return {0, (std::min)(x.lanes(), whole_vectors<Real>((std::max<std::int64_t>)(0, distance + y.count)))};
  }
  return {0, x.lanes()};
}

/// Rows of q or k as they are, one lane a token.
template <class Real>
void gather_rows(map_ref<Real> const& map, row_source const& source, tile_buffers<Real> const& buffers,
                 operand<Real> const& tile, Real* to) {
  int const columns = whole_vectors<Real>(map.head_dim);
  if (source.kind == element_kind_of<Real> && columns == map.head_dim && tile.count == tile.lanes()) {
    auto const* const rows = static_cast<Real const*>(source.data) + tile.begin * source.stride;
    transpose_rows(rows, source.stride, tile.count, columns, to, tile.stride);
  } else {
    copy_rows(source, tile.begin, tile.count, tile.lanes(), 0, columns, buffers.staging, columns);
    transpose_rows(buffers.staging, columns, tile.lanes(), map.head_dim, to, tile.stride);
  }
}

/// Loads and prepares rows of q or k.
template <class Real>
void load_rows(map_ref<Real> const& map, role r, int head, row_source const& source, tile_buffers<Real> const& buffers,
               operand<Real>& tile) {
  gather_rows(map, source, buffers, tile, tile.rows);
  if (tile.raw != nullptr) {
    std::memcpy(tile.raw, tile.rows, sizeof(Real) * static_cast<std::size_t>(map.head_dim * tile.stride));
  }
  map.prepare(map.self, r, head, tile.rows, tile.stride, tile.lanes());
}

/// Sets `extra` to a value for the tile's tokens, 0 for the idle lanes.
template <class Real>
void fill_extra(operand<Real>& tile, Real value) noexcept {
  if (tile.extra != nullptr) {
    std::fill(tile.extra, tile.extra + tile.count, value);
    std::fill(tile.extra + tile.count, tile.extra + tile.stride, Real(0));
  }
}

/// payload_t [column][token] from payload panels.
template <class Real>
void transpose_payload(value_columns const& columns, operand<Real> const& tile) {
  columns.for_each_panel([&](int column, int width) {
    transpose_rows(tile.payload + static_cast<std::ptrdiff_t>(column) * tile.stride, width, tile.lanes(), width,
                   tile.payload_t + static_cast<std::ptrdiff_t>(column) * tile.stride, tile.stride);
  });
}

/// The pairs of y's tokens with x's lanes from `first_lane` on that are seen.
template <class Real>
pair_mask mask_of(visibility sees, operand<Real> const& x, operand<Real> const& y, int first_lane) noexcept {
  int const diagonal = static_cast<int>(y.begin - x.begin) - first_lane;  // the lane of y's first token
  switch (sees) {
    case visibility::past:
      return {diagonal, pair_mask::none};
    case visibility::future:
      return {-pair_mask::none, diagonal + 1};
    default:
      return {};
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
