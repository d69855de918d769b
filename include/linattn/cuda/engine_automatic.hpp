// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CUDA engine that chooses between the parallel and the chunkwise form. A causal call of a map that can be fused is
// fused at every length: on an H200 the fused form was 2.4 times as fast as the parallel one already at 512 tokens. Of
// other maps, and of calls that are not causal, the parallel form takes lengths below the crossover. The host does not
// know the lengths of packed sequences: in phases, their pieces are so long that a sequence below the crossover is one
// piece, which is the parallel form; above it, a packed sequence has other bits than the same one in a (B, H, T, D) call,
// which is cut into chunks.
#ifndef LINATTN_CUDA_ENGINE_AUTOMATIC_HPP
#define LINATTN_CUDA_ENGINE_AUTOMATIC_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cuda/engine_base.hpp>
#include <linattn/strategy/automatic.hpp>

#include <algorithm>
#include <cstdint>

namespace linattn::inline LINATTN_ABI {

template <class Selector>
struct engine<cuda_executor<Selector>, automatic>
    : detail::cuda_engine<Selector, engine<cuda_executor<Selector>, automatic>> {
  static constexpr bool may_fuse = true;

  template <class Attention>
  static detail::forward_form form(typename Attention::forward_args const& args, int arch) noexcept {
    using map = typename Attention::map_type;
    std::int64_t const chunk = Selector::chunk_tokens(arch, map::feature_dim);
    std::int64_t const crossover =
        detail::crossover_length(map::head_dim, map::feature_dim, args.v.extents[3], static_cast<int>(chunk),
                                 Selector::crossover_overhead(arch));
    bool const packed = args.cu_seqlens.present();
    bool const above = !packed && args.q.extents[2] >= crossover;
    return {packed || above || args.causal, detail::round_up(above ? chunk : (std::max)(chunk, crossover), 64)};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
