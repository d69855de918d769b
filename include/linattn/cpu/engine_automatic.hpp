// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CPU engine that chooses between the parallel and the chunkwise form, sequence by sequence.
#ifndef LINATTN_CPU_ENGINE_AUTOMATIC_HPP
#define LINATTN_CPU_ENGINE_AUTOMATIC_HPP

#include <linattn/core/engine.hpp>
#include <linattn/cpu/engine_base.hpp>
#include <linattn/strategy/automatic.hpp>

namespace linattn::inline LINATTN_ABI {

template <>
struct engine<cpu_executor, automatic> : detail::cpu_engine<engine<cpu_executor, automatic>> {
  template <class Attention, class Args>
  static detail::schedule plan(Attention const&, Args const& args) noexcept {
    using map = typename Attention::map_type;
    using tuning = detail::cpu_tuning;
    std::int64_t const value_dim = args.v.extents[3];
    double const state_bytes = sizeof(detail::real_of<Attention>) * map::feature_dim * static_cast<double>(value_dim);
    return {tuning::default_chunk,
            detail::crossover_length(map::head_dim, map::feature_dim, value_dim, tuning::default_chunk,
                                     tuning::crossover_overhead(state_bytes))};
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
