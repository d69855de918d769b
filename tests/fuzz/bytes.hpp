// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// bytes: what libFuzzer made up, consumed as numbers; zeros when it is used up.
#ifndef LINATTN_TESTS_FUZZ_BYTES_HPP
#define LINATTN_TESTS_FUZZ_BYTES_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace linattn_test {

class bytes {
 public:
  bytes(std::uint8_t const* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t byte() {
    if (left_ == 0) {
      return 0;
    }
    --left_;
    return *data_++;
  }
  bool flag() { return (byte() & 1U) != 0; }
  /// 0 .. count - 1
  int below(int count) { return byte() % count; }
  std::int64_t wide() {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) {
      value = value << 8U | byte();
    }
    return static_cast<std::int64_t>(value);
  }
  [[nodiscard]] std::uint8_t const* rest() const { return data_; }
  [[nodiscard]] std::size_t left() const { return left_; }

 private:
  std::uint8_t const* data_;
  std::size_t left_;
};

/// Fails the run, with optimisation and without.
inline void require(bool condition, char const* what) {
  if (!condition) {
    std::fprintf(stderr, "violated: %s\n", what);
    std::abort();
  }
}

}  // namespace linattn_test

#endif
