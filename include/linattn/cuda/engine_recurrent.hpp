// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The recurrent engine of CUDA: token by token, the same code as step().
#ifndef LINATTN_CUDA_ENGINE_RECURRENT_HPP
#define LINATTN_CUDA_ENGINE_RECURRENT_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cuda/engine_base.hpp>
#include <linattn/strategy/recurrent.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI {

template <class Selector>
struct engine<cuda_executor<Selector>, recurrent>
    : detail::cuda_backward<Selector, engine<cuda_executor<Selector>, recurrent>> {
  using executor = cuda_executor<Selector>;
  using detail::cuda_backward<Selector, engine>::workspace_bytes;

  /// Of backward(), which takes pieces like the chunkwise engine's.
  template <class Attention>
  static detail::forward_form form(typename Attention::forward_args const&, int arch) noexcept {
    return {true, Selector::chunk_tokens(arch, Attention::map_type::feature_dim)};
  }

  template <class Attention>
  static void forward(executor const& exec, Attention const& attn, typename Attention::forward_args const& args) {
    if (!detail::is_empty(args)) {
      detail::run_in_workspace(
          exec, [&](detail::device_arena arena) { return detail::recurrent_call<Attention>(arena, attn, args); },
          [&](auto const& call) { call.run(exec.stream, "forward"); });
    }
  }
  template <class Attention>
  static std::size_t workspace_bytes(executor const&, Attention const& attn,
                                     typename Attention::forward_args const& args) noexcept {
    return detail::supplied_bytes(detail::recurrent_call<Attention>(detail::device_arena{}, attn, args).bytes());
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
