// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The chunkwise engine of the CPU.
#ifndef LINATTN_CPU_ENGINE_CHUNKWISE_HPP
#define LINATTN_CPU_ENGINE_CHUNKWISE_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cpu/engine_base.hpp>
#include <linattn/strategy/chunkwise.hpp>

namespace linattn::inline LINATTN_ABI {

template <int Chunk>
struct engine<cpu_executor, chunkwise<Chunk>> : detail::cpu_engine<engine<cpu_executor, chunkwise<Chunk>>> {
  template <class Attention, class Args>
  static detail::schedule plan(Attention const&, Args const&) noexcept {
    return {Chunk == backend_choice ? detail::cpu_tuning::default_chunk : Chunk, 0};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
