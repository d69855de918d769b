// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the CPU's engines have in common: the verbs, given how a call is scheduled (Derived::plan).
#ifndef LINATTN_CPU_ENGINE_BASE_HPP
#define LINATTN_CPU_ENGINE_BASE_HPP

#include <linattn/cpu/call.hpp>
#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/recurrent_call.hpp>
#include <linattn/tuning/cpu.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Derived>
struct cpu_engine {
  template <class Attention>
  static void forward(cpu_executor const& exec, Attention const& attn, typename Attention::forward_args const& args) {
    run_forward(exec, attn, args, Derived::plan(attn, args));
  }
  template <class Attention>
  static void step(cpu_executor const& exec, Attention const& attn, typename Attention::state_type const& state,
                   typename Attention::step_args const& args) {
    run_step(exec, attn, state, args);
  }
  template <class Attention>
  static void backward(cpu_executor const& exec, Attention const& attn,
                       typename Attention::backward_args const& args) {
    run_backward(exec, attn, args, Derived::plan(attn, args));
  }

  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::forward_args const& args) noexcept {
    return forward_bytes(exec, attn, args, Derived::plan(attn, args)) + cache_line;
  }
  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::backward_args const& args) noexcept {
    return backward_bytes(exec, attn, args, Derived::plan(attn, args)) + cache_line;
  }
  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::step_args const& args) noexcept {
    return token_bytes(exec, attn, args, false) + cache_line;
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
