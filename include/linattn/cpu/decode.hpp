// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One token through a state in place: S += phi(k) v^T, out = phi(q)^T S. What step() does, and the recurrent form's
// forward at every token.
#ifndef LINATTN_CPU_DECODE_HPP
#define LINATTN_CPU_DECODE_HPP

#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/map_ref.hpp>
#include <linattn/cpu/pass.hpp>
#include <linattn/cpu/problem.hpp>
#include <linattn/cpu/rows.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Where one token's state lies, and what is read and added: columns [begin, end) of the values.
template <class Real>
struct token_update {
  state_slot<Real> slot;
  int features = 0;
  int begin = 0;
  int end = 0;
  Real const* phi_k = nullptr;  // [features]
  Real const* phi_q = nullptr;  // [group][features]
  Real const* v = nullptr;      // the whole row
  Real* out = nullptr;          // [group][out_stride], unnormalised
  std::ptrdiff_t out_stride = 0;
  int group = 0;
  bool cached = false;  // the state is in the second-level cache
};

/// out = phi_q^T S over a block of columns whose rows are contiguous; with Add, after S += phi_k v^T.
template <bool Add, std::size_t Vectors, class Real>
LINATTN_ALWAYS_INLINE void read_columns(Real* LINATTN_RESTRICT row, std::ptrdiff_t stride, int features,
                                        Real const* LINATTN_RESTRICT phi_q, Real const* LINATTN_RESTRICT phi_k,
                                        Real const* v, Real* out) {
  using vector = simd<Real>;
  vector value[Vectors];
  vector sum[Vectors];
  LINATTN_UNROLL
  for (int i = 0; i < static_cast<int>(Vectors); ++i) {
    value[i] = vector::load(v + i * vector::width);
    sum[i] = vector(Real(0));
  }
  for (int n = 0; n < features; ++n, row += stride) {
    vector const query(phi_q[n]);
    vector const key(Add ? phi_k[n] : Real(0));
    LINATTN_UNROLL
    for (int i = 0; i < static_cast<int>(Vectors); ++i) {
      vector s = vector::load(row + i * vector::width);
      if constexpr (Add) {
        s = multiply_add(key, value[i], s);
        s.store(row + i * vector::width);
      }
      sum[i] = multiply_add(query, s, sum[i]);
    }
  }
  LINATTN_UNROLL
  for (int i = 0; i < static_cast<int>(Vectors); ++i) {
    sum[i].store(out + i * vector::width);
  }
}

/// The state is read and written once for the first query; the others of the group read the block again, from the
/// cache.
template <std::size_t Vectors, class Real>
LINATTN_ALWAYS_INLINE void update_columns(token_update<Real> const& u, int column) {
  Real* const state = u.slot.kv + column;
  std::ptrdiff_t const stride = u.slot.feature_stride;
  read_columns<true, Vectors>(state, stride, u.features, u.phi_q, u.phi_k, u.v + column, u.out + column);
  for (int member = 1; member < u.group; ++member) {
    read_columns<false, Vectors>(state, stride, u.features, u.phi_q + static_cast<std::ptrdiff_t>(member) * u.features,
                                 u.phi_k, u.v + column, u.out + member * u.out_stride + column);
  }
}

/// One column, any strides.
template <class Real>
void update_column(token_update<Real> const& u, int column) {
  for (int member = 0; member < (std::max)(u.group, 1); ++member) {
    Real* at = u.slot.kv + column * u.slot.value_stride;
    Real const* const phi_q = u.phi_q + static_cast<std::ptrdiff_t>(member) * u.features;
    Real sum(0);
    for (int n = 0; n < u.features; ++n, at += u.slot.feature_stride) {
      if (member == 0) {
        *at += u.phi_k[n] * u.v[column];
      }
      sum += phi_q[n] * *at;
    }
    u.out[member * u.out_stride + column] = sum;
  }
}

/// A state that comes from memory is read in rows of 256 bytes, since lines that lie apart come slowly. One in a cache is
/// read in halves of rows: fewer sums are under way then, and that was faster on a Zen 4.
template <class Real>
LINATTN_NEVER_INLINE void update_values(token_update<Real> const& u) {
  constexpr int width = simd<Real>::width;
  constexpr int half = 128 / LINATTN_VECTOR_BYTES;
  constexpr int whole = (std::min)(2 * half, 8);  // with 16-byte vectors the registers hold no more
  int column = u.begin;
  if (u.slot.value_stride == 1) {
    for (; !u.cached && column + whole * width <= u.end; column += whole * width) {
      update_columns<std::size_t{whole}>(u, column);
    }
    for (; column + half * width <= u.end; column += half * width) {
      update_columns<std::size_t{half}>(u, column);
    }
    for (; column + width <= u.end; column += width) {
      update_columns<1>(u, column);
    }
  }
  for (; column < u.end; ++column) {
    update_column(u, column);
  }
}

/// k_sum += phi(k); den[member] = phi(q) . k_sum.
template <class Real>
LINATTN_NEVER_INLINE void update_sums(token_update<Real> const& u, Real* den) {
  std::fill(den, den + u.group, Real(0));
  if (u.slot.k_sum == nullptr) {
    return;
  }
  std::ptrdiff_t const stride = u.slot.k_sum_stride;
  int const whole = stride == 1 ? u.features / simd<Real>::width * simd<Real>::width : 0;
  for (int n = 0; n < whole; n += simd<Real>::width) {
    (simd<Real>::load(u.slot.k_sum + n) + simd<Real>::load(u.phi_k + n)).store(u.slot.k_sum + n);
  }
  for (int n = whole; n < u.features; ++n) {
    u.slot.k_sum[n * stride] += u.phi_k[n];
  }
  for (int member = 0; member < u.group; ++member) {
    Real const* const phi_q = u.phi_q + static_cast<std::ptrdiff_t>(member) * u.features;
    simd<Real> sum(Real(0));
    for (int n = 0; n < whole; n += simd<Real>::width) {
      sum = multiply_add(simd<Real>::load(phi_q + n), simd<Real>::load(u.slot.k_sum + n), sum);
    }
    den[member] = sum_of_lanes(sum);
    for (int n = whole; n < u.features; ++n) {
      den[member] += phi_q[n] * u.slot.k_sum[n * stride];
    }
  }
}

/// to = from, an absent one being zero; parts that `to` does not have are left out.
template <class Real>
void copy_state(int features, state_slot<Real const> const& from, state_slot<Real> const& to, int value_dim) {
  for (int n = 0; to.kv != nullptr && n < features; ++n) {
    for (int c = 0; c < value_dim; ++c) {
      to.kv[n * to.feature_stride + c * to.value_stride] =
          from.kv != nullptr ? from.kv[n * from.feature_stride + c * from.value_stride] : Real(0);
    }
  }
  for (int n = 0; to.k_sum != nullptr && n < features; ++n) {
    to.k_sum[n * to.k_sum_stride] = from.k_sum != nullptr ? from.k_sum[n * from.k_sum_stride] : Real(0);
  }
}

/// The memory for one token: rows, features, outputs.
template <class Real>
struct token_memory {
  Real* row = nullptr;    // [head_dim], and a vector
  Real* phi_k = nullptr;  // [feature_dim], and a vector
  Real* phi_q = nullptr;  // [group][feature_dim], and a vector
  Real* v = nullptr;      // [padded value_dim]
  Real* out = nullptr;    // [max(group, 1)][padded value_dim]
  Real* den = nullptr;    // [group], three times: den, scale, scale_grad
  int padded = 0;

  token_memory(arena& memory, map_ref<Real> const& map, int value_dim, int group)
      : padded(whole_vectors<Real>(value_dim)) {
    constexpr int more = simd<Real>::width;  // feature_row reads and writes so much beyond
    row = memory.take<Real>(map.head_dim + more);
    phi_k = memory.take<Real>(map.feature_dim + more);
    phi_q = memory.take<Real>(std::int64_t{(std::max)(group, 1)} * map.feature_dim + more);
    v = memory.take<Real>(padded);
    out = memory.take<Real>(std::int64_t{(std::max)(group, 1)} * padded);
    den = memory.take<Real>(std::int64_t{3} * (std::max)(group, 1));
  }
};

/// What decoding one stream needs to know of the call.
template <class Real>
struct token_problem {
  map_ref<Real> map;
  normalizer_ref<Real> normalizer;
  call_shape shape;
  tensor_rows q, k, v, out, denominator;
  bool cached = false;
};

template <class Real>
void load_features(map_ref<Real> const& map, role r, std::int64_t head, row_source const& source, std::int64_t time,
                   Real* row, Real* phi) {
  copy_rows(source, time, 1, 1, 0, map.head_dim, row, 0);
  simd<Real>(Real(0)).store(row + map.head_dim);  // what row_features may read
  map.row_features(map.self, r, static_cast<int>(head), !map.all_heads, row, phi);
}

/// Takes token `time` of a (sequence, key head) through its state: adds the key unless `read_only`, then writes the
/// group's outputs unless `write_only`.
template <class Real>
void take_token(token_problem<Real> const& p, stream_id const& id, std::int64_t batch, std::int64_t time,
                state_slot<Real> const& slot, token_memory<Real>& m, bool read_only, bool write_only) {
  int const group = write_only ? 0 : p.shape.group();
  if (read_only) {
    std::fill(m.phi_k, m.phi_k + p.map.feature_dim, Real(0));
    std::fill(m.v, m.v + m.padded, Real(0));
  } else {
    load_features(p.map, role::key, id.kv_head, p.k.source(batch, id.kv_head), time, m.row, m.phi_k);
    copy_rows(p.v.source(batch, id.kv_head), time, 1, 1, 0, m.padded, m.v, 0);
  }
  for (int member = 0; member < group; ++member) {
    std::int64_t const head = p.shape.query_head(id.kv_head, member);
    load_features(p.map, role::query, head, p.q.source(batch, head), time, m.row,
                  m.phi_q + static_cast<std::ptrdiff_t>(member) * p.map.feature_dim);
  }
  token_update<Real> const update{slot,  p.map.feature_dim, 0,     p.shape.value_dim, m.phi_k, m.phi_q, m.v,
                                  m.out, m.padded,          group, p.cached};
  if (slot.kv != nullptr) {
    update_values(update);
  }
  update_sums(update, m.den);
  p.normalizer.apply(p.normalizer.self, m.den, m.den + group, m.den + 2 * group, group);
  for (int member = 0; member < group; ++member) {
    std::int64_t const head = p.shape.query_head(id.kv_head, member);
    Real* const row = m.out + static_cast<std::ptrdiff_t>(member) * m.padded;
    for (int c = 0; c < p.shape.value_dim; ++c) {
      row[c] *= m.den[group + member];
    }
    write_rows(p.out.target(batch, head), time, 1, 0, p.shape.value_dim, row, 0);
    if (p.denominator.present()) {
      write_rows(p.denominator.target(batch, head), time, 1, 0, 1, m.den + member, 0);
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
