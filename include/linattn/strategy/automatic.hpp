// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The backend chooses, sequence by sequence, between the parallel and the chunkwise form.
#ifndef LINATTN_STRATEGY_AUTOMATIC_HPP
#define LINATTN_STRATEGY_AUTOMATIC_HPP

#include <linattn/core/config.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI {

/// Parallel below the crossover length of the backend, chunkwise from there on. The choice depends on the length of
/// each sequence and on the variant alone, never on the rest of the batch. Where a backend cannot know the length, as
/// CUDA cannot that of a packed sequence, it takes chunkwise.
struct automatic {
  using is_execution_strategy = void;
};

namespace detail {
/// The length at which chunkwise overtakes parallel: its work a token, 4 D V, against 2 (d + V) for each earlier token,
/// plus the chunk itself; `overhead` is the backend's measured factor on the first term.
constexpr std::int64_t crossover_length(int head_dim, int feature_dim, std::int64_t value_dim, int chunk,
                                        double overhead) noexcept {
  double const state_work = 4.0 * feature_dim * static_cast<double>(value_dim);
  double const pair_work = head_dim + static_cast<double>(value_dim);
  return static_cast<std::int64_t>(overhead * state_work / pair_work) + chunk;
}
}  // namespace detail

}  // namespace linattn::inline LINATTN_ABI

#endif
