// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The chunkwise engine of CUDA. Chunks are whole tiles: a length is rounded up to a multiple of 64.
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
  template <class Attention>
  static std::int64_t piece_tokens(typename Attention::forward_args const&) noexcept {
    return Chunk == backend_choice ? Selector::chunk_tokens(Attention::map_type::feature_dim)
                                   : detail::round_up(Chunk, 64);
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
