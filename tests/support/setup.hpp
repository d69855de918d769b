// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// setup: the run-time axes of a test case, and the random problem that belongs to them.
#ifndef LINATTN_TESTS_SUPPORT_SETUP_HPP
#define LINATTN_TESTS_SUPPORT_SETUP_HPP

#include "support/oracle.hpp"
#include "support/tensor.hpp"

#include <linattn/core/element.hpp>
#include <linattn/state.hpp>

#include <cstdint>
#include <ostream>
#include <vector>

namespace linattn_test {

enum class state_use {
  none,
  initial,   // read only
  final,     // written only
  both,      // read from one memory, written to another
  in_place,  // read and written in the same memory
  pool       // in place, in slots of a pool that holds other states too
};

struct setup {
  std::int64_t batch = 1, heads = 1, kv_heads = 1, time = 1, value_dim = 1;
  bool causal = true;
  bool tiled = false;
  std::vector<std::int64_t> lengths{};  // not empty: packed sequences; replaces batch and time
  bool wide_offsets = false;            // cu_seqlens as int64 instead of int32
  memory_order order = memory_order::bthd;
  bool broadcast_kv = false;            // k and v: one head's memory under kv_heads heads
  state_use state = state_use::none;
  linattn::state_layout layout = linattn::state_layout::feature_major;
  bool save_denominator = false;        // forward: ask for it; backward: pass the saved out and denominator
  int threads = 1;
  double eps = 1e-6;
  std::uint64_t seed = 42;

  [[nodiscard]] bool reads_state() const { return state != state_use::none && state != state_use::final; }
  [[nodiscard]] bool writes_state() const { return state != state_use::none && state != state_use::initial; }
};

std::ostream& operator<<(std::ostream& stream, setup const& s);

/// Rows from N(0, 1), parameters about gamma = 1 and beta = 0, an initial state that a few tokens left behind; all rounded
/// to `kind`, the states to what it accumulates in. With `for_backward`, also the gradients that come from outside.
problem make_problem(recipe const& map, int head_dim, bool normalized, setup const& s, linattn::element_kind kind,
                     bool for_backward = false);

}  // namespace linattn_test

#endif
