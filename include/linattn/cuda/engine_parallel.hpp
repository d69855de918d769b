// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The parallel (quadratic) engine of CUDA: a sequence is one piece.
#ifndef LINATTN_CUDA_ENGINE_PARALLEL_HPP
#define LINATTN_CUDA_ENGINE_PARALLEL_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cuda/engine_base.hpp>
#include <linattn/strategy/parallel.hpp>

#include <cstdint>
#include <limits>

namespace linattn::inline LINATTN_ABI {

template <class Selector>
struct engine<cuda_executor<Selector>, parallel>
    : detail::cuda_engine<Selector, engine<cuda_executor<Selector>, parallel>> {
  static constexpr bool may_fuse = false;

  template <class Attention>
  static detail::forward_form form(typename Attention::forward_args const&, int /*arch*/) noexcept {
    return {false, (std::numeric_limits<std::int64_t>::max)()};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
