// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// on_cuda: the backend of verbs.hpp that runs a test's call on a cuda_executor, on copies in the device's memory; and
// the selectors of the tests.
#ifndef LINATTN_TESTS_CUDA_ON_CUDA_HPP
#define LINATTN_TESTS_CUDA_ON_CUDA_HPP

#include "device_mirror.hpp"
#include "support/call.hpp"

#include <linattn/cuda/cuda.hpp>
#include <linattn/strategy/recurrent.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace linattn_test {

/// Chunks and segments so short that the tests' sequences have several.
struct small_pieces : linattn::cuda_tuning {
  static constexpr std::int64_t chunk_tokens(int /*arch*/, int /*feature_dim*/) noexcept { return 64; }
  static constexpr std::int64_t segment_tokens(int /*arch*/) noexcept { return 64; }
};

/// Long pieces up to sm_80, short ones on what is newer.
struct pieces_by_architecture : linattn::cuda_tuning {
  static constexpr std::int64_t chunk_tokens(int arch, int /*feature_dim*/) noexcept { return arch > 80 ? 64 : 128; }
  static constexpr std::int64_t segment_tokens(int arch) noexcept { return arch > 80 ? 64 : 128; }
  static constexpr double crossover_overhead(int arch) noexcept { return arch > 80 ? 0.0 : 1e3; }
};

/// The other choices of formats: three products for float, bf16 for bounded maps too. Segments of two chunks.
struct precise_pieces : small_pieces {
  static constexpr std::int64_t segment_tokens(int /*arch*/) noexcept { return 128; }
  static constexpr linattn::float_products products = linattn::float_products::tf32x3;
  static constexpr bool half_features = false;
};

template <class Selector>
struct on_cuda {
  static constexpr bool every_strategy = true;  // they share their kernels

  /// A workspace in the call is the device's.
  static linattn::cuda_executor<Selector> executor(call const& c) { return {.workspace = c.executor.workspace}; }

  template <class Attention, class Verb>
  static void run(verb_kind kind, call const& c, Verb&& verb) {
    device_mirror const mirror(
        kind, c, {sizeof(typename Attention::element_type), sizeof(typename Attention::accumulator_type)});
    verb(executor(c), mirror.arguments());
    mirror.copy_back();
  }

  /// Steps and the recurrent form multiply numbers as they are.
  template <class Attention>
  static constexpr double operand(verb_kind kind) {
    if (kind == verb_kind::backward) {
      return linattn::detail::gradient_operand_of<Selector, typename Attention::element_type>::unit_roundoff;
    }
    if (kind == verb_kind::step || std::same_as<typename Attention::strategy_type, linattn::recurrent>) {
      return 0;
    }
    return linattn::detail::operand_of<Selector, typename Attention::map_type,
                                       typename Attention::element_type>::unit_roundoff;
  }
};

}  // namespace linattn_test

#endif
