// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the two libraries of the comparison export, for ctypes: causal forward ReBased, head_dim 16, float, one batch
// row.
#ifndef LINATTN_BENCHMARKS_PEERS_LIBRARY_HPP
#define LINATTN_BENCHMARKS_PEERS_LIBRARY_HPP

#include <cstdint>

extern "C" {

/// peers.py has the same members. Rows are contiguous in (head, time, channel) order; a gamma or beta has 16 numbers.
struct peers_problem {
  float const* q;  // (heads, time, 16)
  float const* k;  // (heads, time, 16)
  float const* v;  // (heads, time, value_dim)
  float* out;      // (heads, time, value_dim)
  float const* gamma_q;
  float const* beta_q;
  float const* gamma_k;
  float const* beta_k;
  std::int64_t heads, time, value_dim;
  double eps;  // of the denominator
  std::int32_t normalized;
  std::int32_t threads;
  std::int32_t chunk;  // of the OpenBLAS engine; linattn takes its default
};
}

#endif
