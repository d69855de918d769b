// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The recurrent engine of the CPU: token by token. Its backward is the chunkwise one with a chunk of one token.
#ifndef LINATTN_CPU_ENGINE_RECURRENT_HPP
#define LINATTN_CPU_ENGINE_RECURRENT_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cpu/engine_base.hpp>
#include <linattn/strategy/recurrent.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI {

template <>
struct engine<cpu_executor, recurrent> : detail::cpu_engine<engine<cpu_executor, recurrent>> {
  using base = detail::cpu_engine<engine<cpu_executor, recurrent>>;
  using base::workspace_bytes;

  template <class Attention, class Args>
  static detail::schedule plan(Attention const&, Args const&) noexcept {
    return {1, 0};
  }

  template <class Attention>
  static void forward(cpu_executor const& exec, Attention const& attn, typename Attention::forward_args const& args) {
    if (args.out.size() > 0 || args.denominator.present() || args.final_state.present()) {
      detail::run_recurrent_forward(exec, detail::token_problem_of(attn, args), detail::erase_state(args.initial_state),
                                    detail::erase_state(args.final_state));
    }
  }

  template <class Attention>
  static std::size_t workspace_bytes(cpu_executor const& exec, Attention const& attn,
                                     typename Attention::forward_args const& args) noexcept {
    return detail::token_division::make(exec, detail::token_problem_of(attn, args), true).bytes() + detail::cache_line;
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
