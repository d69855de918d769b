// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The chunkwise form: quadratic inside a chunk, a state between chunks. Linear in the sequence length.
#ifndef LINATTN_STRATEGY_CHUNKWISE_HPP
#define LINATTN_STRATEGY_CHUNKWISE_HPP

#include <linattn/core/config.hpp>

namespace linattn::inline LINATTN_ABI {

/// Says that the backend chooses a chunk length.
inline constexpr int backend_choice = 0;

/// O(T (D V + Chunk (d + V))) time. Chunk is the number of tokens between two updates of the state: it changes the
/// rounding and the scratch memory.
template <int Chunk = backend_choice>
struct chunkwise {
  static_assert(Chunk >= 0 && Chunk <= 1024,
                "linattn::chunkwise: a chunk length out of range; 1 to 1024; leave it out to let the backend choose");
  using is_execution_strategy = void;
  static constexpr int chunk = Chunk;
};

}  // namespace linattn::inline LINATTN_ABI

#endif
