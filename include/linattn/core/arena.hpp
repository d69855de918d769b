// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// basic_arena: working memory handed out piece by piece. The same code counts what it will take and then takes it.
#ifndef LINATTN_CORE_ARENA_HPP
#define LINATTN_CORE_ARENA_HPP

#include <linattn/core/config.hpp>

#include <cassert>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail {

/// Hands out aligned pieces of a block of memory; with no block, it only counts what would be taken. The block begins at
/// a multiple of Alignment.
template <std::size_t Alignment>
class basic_arena {
 public:
  basic_arena() = default;
  basic_arena(std::byte* begin, std::size_t bytes) noexcept : next_(begin), left_(bytes), backed_(true) {}

  template <class T>
  T* take(std::int64_t count) noexcept {
    std::size_t const bytes = (static_cast<std::size_t>(count) * sizeof(T) + Alignment - 1) / Alignment * Alignment;
    taken_ += bytes;
    if (!backed_) {
      return nullptr;
    }
    assert(bytes <= left_);  // counting and taking went through the same code
    T* const piece = reinterpret_cast<T*>(next_);
    next_ += bytes;
    left_ -= bytes;
    return piece;
  }

  [[nodiscard]] std::size_t taken() const noexcept { return taken_; }

 private:
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t taken_ = 0;
  bool backed_ = false;
};

}  // namespace linattn::inline LINATTN_ABI::detail

#endif
