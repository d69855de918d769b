// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// guarded_buffer: memory of any element type that starts as NaN, between canaries, and knows which elements belong to the
// tensor in it. What is outside (canaries, gaps of a strided tensor) must never be written, and spoils every result when
// it is read.
#ifndef LINATTN_TESTS_SUPPORT_GUARDED_BUFFER_HPP
#define LINATTN_TESTS_SUPPORT_GUARDED_BUFFER_HPP

#include <linattn/core/element.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {

class guarded_buffer {
 public:
  static constexpr std::size_t guard = 64;

  explicit guarded_buffer(linattn::element_kind kind = linattn::element_kind::float32, std::size_t size = 0);

  [[nodiscard]] linattn::element_kind kind() const { return kind_; }
  [[nodiscard]] std::size_t size() const { return owned_.size(); }
  [[nodiscard]] std::size_t element_bytes() const { return element_bytes_; }
  /// Of element 0.
  [[nodiscard]] std::byte* data() { return memory_.data() + guard * element_bytes_; }
  [[nodiscard]] std::byte const* data() const { return memory_.data() + guard * element_bytes_; }

  [[nodiscard]] double get(std::int64_t offset) const;
  void set(std::int64_t offset, double number);

  /// The element at `offset` belongs to the tensor.
  void own(std::int64_t offset) { owned_.at(static_cast<std::size_t>(offset)) = 1; }
  void own_all() { owned_.assign(owned_.size(), char{1}); }
  /// Every element that belongs to the tensor is NaN again.
  void poison();

  /// Canaries and gaps are as they were.
  [[nodiscard]] bool canaries_intact() const;
  /// Nothing at all has been written.
  [[nodiscard]] bool untouched() const;
  /// The same bits everywhere.
  friend bool operator==(guarded_buffer const& a, guarded_buffer const& b) { return a.memory_ == b.memory_; }

 private:
  [[nodiscard]] bool is_poison(std::size_t index) const;  // index counts the canaries too

  linattn::element_kind kind_;
  std::size_t element_bytes_;
  std::vector<std::byte> memory_;
  std::vector<char> owned_;
};

}  // namespace linattn_test

#endif
