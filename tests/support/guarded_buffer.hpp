// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// guarded_buffer: memory that starts as NaN, between canaries, and knows which elements belong to the tensor in it. What
// is outside (canaries, gaps of a strided tensor) must never be written, and spoils every result when it is read.
#ifndef LINATTN_TESTS_SUPPORT_GUARDED_BUFFER_HPP
#define LINATTN_TESTS_SUPPORT_GUARDED_BUFFER_HPP

#include <linattn/core/element.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace linattn_test {

/// A NaN with a payload that no computation produces.
template <class E>
E poison() {
  E element{};
  if constexpr (sizeof(E) == 8) {
    std::uint64_t const bits = 0x7ff8badc0ffee0ddU;
    std::memcpy(&element, &bits, sizeof(bits));
  } else if constexpr (sizeof(E) == 4) {
    std::uint32_t const bits = 0x7fcadadaU;
    std::memcpy(&element, &bits, sizeof(bits));
  } else {
    std::uint16_t const bits = 0x7fe5U;
    std::memcpy(&element, &bits, sizeof(bits));
  }
  return element;
}

template <class E>
bool is_poison(E const& element) {
  E const expected = poison<E>();
  return std::memcmp(&element, &expected, sizeof(E)) == 0;
}

template <class E>
class guarded_buffer {
 public:
  static constexpr std::size_t guard = 64;

  explicit guarded_buffer(std::size_t size = 0)
      : memory_(size + 2 * guard, poison<E>()), owned_(size, char{0}) {}

  [[nodiscard]] E* data() { return memory_.data() + guard; }
  [[nodiscard]] E const* data() const { return memory_.data() + guard; }
  [[nodiscard]] std::size_t size() const { return owned_.size(); }

  /// The element at `offset` belongs to the tensor.
  void own(std::int64_t offset) { owned_.at(static_cast<std::size_t>(offset)) = 1; }
  void own_all() { owned_.assign(owned_.size(), char{1}); }

  /// Canaries and gaps are as they were.
  [[nodiscard]] bool canaries_intact() const {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      bool const inside = i >= guard && i < guard + size() && owned_[i - guard] != 0;
      if (!inside && !is_poison(memory_[i])) {
        return false;
      }
    }
    return true;
  }

  /// Nothing at all has been written.
  [[nodiscard]] bool untouched() const {
    for (E const& element : memory_) {
      if (!is_poison(element)) {
        return false;
      }
    }
    return true;
  }

 private:
  std::vector<E> memory_;
  std::vector<char> owned_;
};

}  // namespace linattn_test

#endif
