// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// aligned_allocator: vectors that begin at a cache line. Rows of whole registers then never lie across two lines, which
// would cost a step through a state most of its speed.
#ifndef LINATTN_CORE_ALIGNED_ALLOCATOR_HPP
#define LINATTN_CORE_ALIGNED_ALLOCATOR_HPP

#include <linattn/core/config.hpp>

#include <cstddef>
#include <new>

namespace linattn::inline LINATTN_ABI::detail {

inline constexpr std::size_t cache_line = 64;

/// For std::vector, which refuses sizes that would overflow before it asks. Stateless; throws std::bad_alloc.
template <class T>
struct aligned_allocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{cache_line};

  aligned_allocator() = default;
  template <class U>
  constexpr aligned_allocator(aligned_allocator<U> const&) noexcept {}

  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), alignment)); }
  void deallocate(T* pointer, std::size_t) noexcept { ::operator delete(pointer, alignment); }

  friend constexpr bool operator==(aligned_allocator const&, aligned_allocator const&) noexcept { return true; }
};

}  // namespace linattn::inline LINATTN_ABI::detail

#endif
