// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CUDA engine that chooses between the parallel and the chunkwise form, sequence by sequence. The host does not
// know the lengths of packed sequences. In phases, their pieces are so long that a sequence below the crossover is one
// piece, which is the parallel form; from there on, a packed sequence has other bits than the same one in a
// (B, H, T, D) call, which is cut into chunks. Maps that can be fused are fused from the crossover on, and packed
// sequences at every length: there it is below the crossover that the bits differ.
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
    bool const above = !args.cu_seqlens.present() && args.q.extents[2] >= crossover;
    return {args.cu_seqlens.present() || above, detail::round_up(above ? chunk : (std::max)(chunk, crossover), 64)};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
