// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The chunkwise engine of CUDA. The fused form takes 16 tokens a step, whatever Chunk is; in phases, a
// chunk is rounded up to a multiple of 64.
#ifndef LINATTN_CUDA_ENGINE_CHUNKWISE_HPP
#define LINATTN_CUDA_ENGINE_CHUNKWISE_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cuda/engine_base.hpp>
#include <linattn/strategy/chunkwise.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI {

template <class Selector, int Chunk>
struct engine<cuda_executor<Selector>, chunkwise<Chunk>>
    : detail::cuda_engine<Selector, engine<cuda_executor<Selector>, chunkwise<Chunk>>> {
  static constexpr bool may_fuse = true;

  template <class Attention>
  static detail::forward_form form(typename Attention::forward_args const&, int arch) noexcept {
    return {true, Chunk == backend_choice ? Selector::chunk_tokens(arch, Attention::map_type::feature_dim)
                                          : detail::round_up(Chunk, 64)};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
