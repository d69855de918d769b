// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Arrays of floats that start at a cache line. Vectorised sums group their terms by address, so equal alignment is also
// what makes a run give the same bits whichever thread allocated what.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace example {

inline constexpr std::size_t kCacheLine = 64;

template <class T>
struct cache_line_allocator {
  using value_type = T;

  cache_line_allocator() = default;
  template <class Other>
  cache_line_allocator(cache_line_allocator<Other> const&) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{kCacheLine}));
  }
  void deallocate(T* data, std::size_t) { ::operator delete (data, std::align_val_t{kCacheLine}); }

  bool operator==(cache_line_allocator const&) const = default;
};

using buffer = std::vector<float, cache_line_allocator<float>>;

}  // namespace example
