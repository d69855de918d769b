// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// line_sums: sums over lines of numbers that threads have written, one line a thread or a part, number by number and in
// a fixed order. Barriers are the caller's.
#ifndef LINATTN_CUDA_TILE_LINE_SUMS_HPP
#define LINATTN_CUDA_TILE_LINE_SUMS_HPP

#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// In shared memory. Group g of the threads takes the lines g, g + groups, ...; each sum has one owner.
template <class Real, int Size, int Threads>
struct line_sums {
  static constexpr int groups = Threads / Size > 1 ? Threads / Size : 1;

  Real sums[std::size_t{groups * Size}];

  LINATTN_DEVICE void clear() {
    for_each_own([&](int i) { sums[i] = Real(0); });
  }

  /// Adds the lines that begin `stride` numbers apart.
  LINATTN_DEVICE void add(Real const* lines, std::int64_t stride, std::int64_t count) {
    for_each_own([&](int i) {
      Real sum = sums[i];
      std::int64_t line = i / Size;
      constexpr int batch = 8;  // loads under way at a time
      LINATTN_SIMT_NO_UNROLL
      for (; line + (batch - 1) * groups < count; line += batch * groups) {
        Real some[batch];
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < batch; ++n) {
          some[n] = simt::load(lines + (line + n * groups) * stride + i % Size);
        }
        LINATTN_SIMT_UNROLL
        for (int n = 0; n < batch; ++n) {
          sum += some[n];
        }
      }
      for (; line < count; line += groups) {
        sum += simt::load(lines + line * stride + i % Size);
      }
      sums[i] = sum;
    });
  }

  /// The groups' sums, added in their order.
  LINATTN_DEVICE void store(Real* to) const {
    LINATTN_SIMT_NO_UNROLL
    for (int n = static_cast<int>(simt::thread_idx().x); n < Size; n += Threads) {
      Real sum = Real(0);
      LINATTN_SIMT_NO_UNROLL
      for (int group = 0; group < groups; ++group) {
        sum += sums[group * Size + n];
      }
      simt::store(to + n, sum);
    }
  }

 private:
  template <class F>
  static LINATTN_DEVICE void for_each_own(F&& f) {
    LINATTN_SIMT_NO_UNROLL
    for (int i = static_cast<int>(simt::thread_idx().x); i < groups * Size; i += Threads) {
      f(i);
    }
  }
};

/// No numbers, no sums.
template <class Real, int Threads>
struct line_sums<Real, 0, Threads> {};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
