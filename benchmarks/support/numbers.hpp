// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The memory that all problems of a program share: random inputs, made once, and outputs. A case takes the first
// elements that it needs, so that the cost of a case is not that of its random numbers.
#ifndef LINATTN_BENCHMARKS_SUPPORT_NUMBERS_HPP
#define LINATTN_BENCHMARKS_SUPPORT_NUMBERS_HPP

#include <linattn/core/aligned_allocator.hpp>
#include <linattn/core/element.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

namespace linattn_benchmark {

/// The tensors of a training step, in the order in which numbers are seeded. The inputs come first.
enum class tensor : std::uint8_t { q, k, v, grad_out, out, grad_q, grad_k, grad_v };
inline constexpr int input_count = 4;
inline constexpr int tensor_count = 8;

/// The most elements that a tensor may have: 2^17 tokens and heads of 64 channels.
inline constexpr std::size_t largest_tensor = std::size_t{1} << 23U;

/// Begins at a cache line, as tensors of other libraries do.
template <class T>
using vector_of = std::vector<T, linattn::detail::aligned_allocator<T>>;

template <linattn::Element Element>
Element* memory_of(tensor which, std::int64_t count);

namespace detail {

template <linattn::Element Element>
vector_of<Element> made(tensor which) {
  vector_of<Element> numbers(largest_tensor);
  if (static_cast<int>(which) >= input_count) {
    return numbers;
  }
  if constexpr (sizeof(Element) == sizeof(float)) {
    std::mt19937 bits(1U + static_cast<unsigned>(which));
    std::normal_distribution<float> normal;
    for (Element& x : numbers) {
      x = normal(bits);
    }
  } else {
    float const* const exact = memory_of<float>(which, 0);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = Element(exact[i]);
    }
  }
  return numbers;
}

}  // namespace detail

/// Normal numbers for an input; for an output, what the last case left there.
template <linattn::Element Element>
Element* memory_of(tensor which, std::int64_t count) {
  if (count < 0 || static_cast<std::size_t>(count) > largest_tensor) {
    throw std::length_error("linattn_benchmark::memory_of: a tensor of more than 2^23 elements");
  }
  static std::array<vector_of<Element>, tensor_count> tensors;
  vector_of<Element>& numbers = tensors[static_cast<std::size_t>(which)];
  if (numbers.empty()) {
    numbers = detail::made<Element>(which);
  }
  return numbers.data();
}

/// Spoils an output, so that what a case does not write is seen.
template <linattn::Element Element>
void fill_with_nan(tensor which, std::int64_t count) {
  Element* const begin = memory_of<Element>(which, count);
  for (std::int64_t i = 0; i < count; ++i) {
    begin[i] = Element(std::numeric_limits<float>::quiet_NaN());
  }
}

}  // namespace linattn_benchmark

#endif
