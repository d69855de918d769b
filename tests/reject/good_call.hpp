// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// good_call: small arguments that fit together, which reject tests spoil; on the memory of any device.
#ifndef LINATTN_TESTS_REJECT_GOOD_CALL_HPP
#define LINATTN_TESTS_REJECT_GOOD_CALL_HPP

#include <linattn/attention.hpp>
#include <linattn/core/tensor_view.hpp>
#include <linattn/state.hpp>

#include <cstdint>

namespace linattn_test {

inline constexpr int head_dim = 4;
inline constexpr std::int64_t batch = 2, heads = 4, kv_heads = 2, time = 3, value_dim = 5;

/// memory[i] is the i-th of some pieces of memory that lie far apart: tensors in the first ones, states from 5 on.
template <class Attention, class Memory>
struct good_call {
  using map_type = typename Attention::map_type;

  Memory memory{};
  Attention attn{};

  typename Attention::forward_args good() {
    auto a = inputs<typename Attention::forward_args>(time);
    a.out = linattn::view_bthd(memory[3], batch, time, heads, value_dim);
    return a;
  }
  typename Attention::forward_args with_states() {
    auto a = good();
    a.denominator = linattn::view_bth(memory[4], batch, time, heads);
    a.initial_state = state_at(5);
    a.final_state = state_at(7);
    return a;
  }
  typename Attention::step_args good_step() {
    auto a = inputs<typename Attention::step_args>(1);
    a.out = linattn::view_bthd(memory[3], batch, 1, heads, value_dim);
    return a;
  }
  /// Takes two pieces.
  linattn::state_view<map_type> state_at(int piece, std::int64_t slots = batch) {
    return linattn::view_state<map_type>(memory[piece], memory[piece + 1], slots, kv_heads, value_dim);
  }
  template <class Args>
  Args inputs(std::int64_t tokens) {
    Args a{};
    a.q = linattn::view_bthd(memory[0], batch, tokens, heads, head_dim);
    a.k = linattn::view_bthd(memory[1], batch, tokens, kv_heads, head_dim);
    a.v = linattn::view_bthd(memory[2], batch, tokens, kv_heads, value_dim);
    return a;
  }
};

}  // namespace linattn_test

#endif
