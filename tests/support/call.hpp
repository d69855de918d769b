// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// call: the arguments of any verb as plain numbers and addresses, so that tests are compiled once and not for each
// variant. verbs.hpp turns them into the library's own.
#ifndef LINATTN_TESTS_SUPPORT_CALL_HPP
#define LINATTN_TESTS_SUPPORT_CALL_HPP

#include <linattn/core/segments.hpp>
#include <linattn/core/tensor_view.hpp>
#include <linattn/cpu/executor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace linattn_test {

/// A view without its element type.
struct raw_tensor {
  void* data = nullptr;
  std::array<std::int64_t, 4> extents{};
  std::array<std::int64_t, 4> strides{};

  template <class T>
  [[nodiscard]] linattn::tensor_view<T, 4> rows() const {
    return {static_cast<T*>(data),
            {extents[0], extents[1], extents[2], extents[3]},
            {strides[0], strides[1], strides[2], strides[3]}};
  }
  /// Without the last dimension.
  template <class T>
  [[nodiscard]] linattn::tensor_view<T, 3> numbers() const {
    return {static_cast<T*>(data), {extents[0], extents[1], extents[2]}, {strides[0], strides[1], strides[2]}};
  }
};

/// Tokens [begin, begin + count) of a tensor with elements of `bytes` bytes.
inline raw_tensor tokens_of(raw_tensor t, std::int64_t begin, std::int64_t count, std::size_t bytes) {
  if (t.data != nullptr) {
    t.data = static_cast<std::byte*>(t.data) + begin * t.strides[2] * static_cast<std::int64_t>(bytes);
    t.extents[2] = count;
  }
  return t;
}

struct raw_state {
  raw_tensor kv{};
  raw_tensor k_sum{};
  std::span<std::int32_t const> slots{};
};

/// A parameter of a map, or its gradient: rank 1 if there are no heads.
struct raw_parameter {
  void* data = nullptr;
  std::int64_t heads = 0;
  std::int64_t size = 0;

  template <class T>
  [[nodiscard]] linattn::parameter_view<T> view() const {
    if (data == nullptr) {
      return {};
    }
    if (heads == 0) {
      return linattn::tensor_view<T, 1>{static_cast<T*>(data), {size}};
    }
    return linattn::tensor_view<T, 2>{static_cast<T*>(data), {heads, size}};
  }
};

struct raw_parameters {
  raw_parameter gamma_q{}, beta_q{}, gamma_k{}, beta_k{};
};

/// Packed offsets, in the width that the caller has; none of both if the batch is not packed.
struct raw_offsets {
  std::span<std::int32_t const> narrow{};
  std::span<std::int64_t const> wide{};

  [[nodiscard]] linattn::sequence_offsets view() const {
    if (narrow.data() != nullptr) {
      return narrow;
    }
    return wide.data() != nullptr ? linattn::sequence_offsets(wide) : linattn::sequence_offsets();
  }
};

struct call {
  linattn::cpu_executor executor{};  // of calls on the CPU
  double eps = 1e-6;
  double layer_norm_eps = 1e-5;
  bool causal = true;
  raw_offsets offsets{};
  linattn::head_map heads = linattn::head_map::grouped;
  raw_parameters parameters{};
  raw_tensor q{}, k{}, v{}, out{}, denominator{};
  raw_state initial_state{};
  raw_state final_state{};  // of a step: its state
  // backward
  raw_tensor grad_out{}, grad_q{}, grad_k{}, grad_v{};
  raw_state grad_final_state{}, grad_initial_state{};
  raw_parameters grads{};
};

enum class verb_kind { forward, step, backward };

/// The verbs of one attention type; null where it has none.
struct verb_table {
  void (*forward)(call const&) = nullptr;
  void (*step)(call const&) = nullptr;
  void (*backward)(call const&) = nullptr;
  std::size_t (*forward_bytes)(call const&) = nullptr;
  std::size_t (*backward_bytes)(call const&) = nullptr;
  // Unit roundoff of the format to which matrix units round the factors of products; 0: products of numbers as they are.
  double forward_operand = 0, step_operand = 0, backward_operand = 0;
};

}  // namespace linattn_test

#endif
