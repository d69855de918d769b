// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The numbers of the CPU backend that change speed, and how they were chosen.
#ifndef LINATTN_TUNING_CPU_HPP
#define LINATTN_TUNING_CPU_HPP

#include <linattn/core/config.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail {

struct cpu_tuning {
  /// Chunk of chunkwise<>: at d = 16, V = 64, chunks of 48 and 64 took 8 and 10 % longer (AVX-512).
  static constexpr int default_chunk = 32;
  /// Queries that share one load of the keys in the parallel form, and keys weighed at a time: multiples of every
  /// vector and of the six rows of a register tile. 256 and 32 took 4 % (AVX-512) and 16 % (AVX2) longer at T = 2048.
  static constexpr int x_tile_tokens = 288;
  static constexpr int y_tile_tokens = 48;
  /// A longer sequence is summed segment by segment, whether or not threads share it: its bits stay the same.
  static constexpr std::int64_t segment_tokens = 4096;
  /// States of up to so many bytes in a call are taken to be in the second-level cache still when the next call comes.
  static constexpr double cached_state_bytes = 512e3;
  /// The crossover model's factor (strategy/automatic.hpp). A state that fills the second-level cache costs more.
  /// Chosen for the `sweep` of benchmarks/forward at d = 16, 32 and 64 (AVX-512, 1 MB of second-level cache).
  static constexpr double crossover_overhead(double state_bytes) noexcept {
    return state_bytes < 64e3 ? 0.87 : (state_bytes < 256e3 ? 0.96 : 1.04);
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail

#endif
