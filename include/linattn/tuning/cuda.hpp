// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the CUDA backend chooses when nobody says otherwise. A user's own selector derives from cuda_tuning and is
// passed as cuda_executor<selector>.
#ifndef LINATTN_TUNING_CUDA_HPP
#define LINATTN_TUNING_CUDA_HPP

#include <linattn/core/config.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI {

/// How the products of float tensors are computed on matrix units.
enum class float_products : std::uint8_t {
  tf32,   // operands rounded to 11 bits, one product
  tf32x3  // three products of split operands: about 21 bits
};

/// The defaults. Members may be hidden in a derived class; they depend on the shapes of one sequence and never on the
/// rest of the batch, so that results do not either. Functions are asked when a verb is called. `arch` is the
/// architecture that the kernels which will run were compiled for, not the device's own: 10 * major + minor of its PTX,
/// so 80 for sm_80 and 90 for sm_90a; 0 where workspace_bytes finds that CUDA cannot say. The constants are part of the
/// kernels' types.
struct cuda_tuning {
  static constexpr float_products products = float_products::tf32;

  /// Whether f16 and bf16 tensors are multiplied in f16 when the map is bounded: eight times as exact as bf16, but
  /// values beyond 65504 become infinite. Maps that are not bounded always use bf16.
  static constexpr bool half_features = true;

  /// Tokens between two states of the chunkwise form in phases; a multiple of 64. More tokens: fewer states in memory,
  /// more pairs of tokens. Untuned.
  static constexpr std::int64_t chunk_tokens(int /*arch*/, int feature_dim) noexcept {
    return feature_dim <= 256 ? 256 : 1024;
  }

  /// The fused chunkwise form cuts a sequence into pieces of this length that run side by side; a multiple of 64. No
  /// length is asked for: that of packed sequences is not known here, and the total must not matter. Shorter ones fill
  /// a device with fewer heads; each costs a second pass over keys and values. 2026-11, H200, rebased<16> in bf16, 64
  /// heads of 8192 tokens: forward 0.33 ms, 0.54 with 1024, 0.62 with 8192; 16 heads: 0.28, 0.19 and 0.61.
  static constexpr std::int64_t segment_tokens(int /*arch*/) noexcept { return 2048; }

  /// The crossover model's factor (strategy/automatic.hpp). From the work of both forms on an H200, not measured: sums
  /// and scans of states move more bytes for each product than pairs of tokens.
  static constexpr double crossover_overhead(int /*arch*/) noexcept { return 1.9; }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
