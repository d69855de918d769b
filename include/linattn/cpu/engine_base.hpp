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
    if (args.out.size() > 0 || args.denominator.present() || args.final_state.present()) {
      run_forward(exec, forward_problem_of(attn, args, Derived::plan(attn, args)));
    }
  }
  template <class Attention>
  static void step(cpu_executor const& exec, Attention const& attn, typename Attention::state_type const& state,
                   typename Attention::step_args const& args) {
    run_step(exec, token_problem_of(attn, args), erase_state(state));
  }
  template <class Attention>
  static void backward(cpu_executor const& exec, Attention const& attn,
                       typename Attention::backward_args const& args) {
    if (args.grad_q.size() > 0 || args.grad_k.size() > 0 || args.grad_v.size() > 0 ||
        args.grad_initial_state.present()) {
      run_backward(exec, gradient_problem_of(attn, args, Derived::plan(attn, args)), attn.map, args.grad_map);
    }
  }

  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::forward_args const& args) noexcept {
    return forward_bytes(exec, forward_problem_of(attn, args, Derived::plan(attn, args))) + cache_line;
  }
  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::backward_args const& args) noexcept {
    return backward_bytes(exec, gradient_problem_of(attn, args, Derived::plan(attn, args))) + cache_line;
  }
  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::step_args const& args) noexcept {
    return token_division::make(exec, token_problem_of(attn, args), false).bytes() + cache_line;
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
