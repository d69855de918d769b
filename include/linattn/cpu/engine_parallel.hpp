// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The parallel (quadratic) engine of the CPU: a sequence is one block, whatever its length.
#ifndef LINATTN_CPU_ENGINE_PARALLEL_HPP
#define LINATTN_CPU_ENGINE_PARALLEL_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cpu/engine_base.hpp>
#include <linattn/strategy/parallel.hpp>

#include <cstdint>
#include <limits>

namespace linattn::inline LINATTN_ABI {

template <>
struct engine<cpu_executor, parallel> : detail::cpu_engine<engine<cpu_executor, parallel>> {
  template <class Attention, class Args>
  static detail::schedule plan(Attention const&, Args const&) noexcept {
    return {detail::cpu_tuning::default_chunk, (std::numeric_limits<std::int64_t>::max)()};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
