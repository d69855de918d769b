// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The shared scalar functions, at run time and at compile time.
#include <linattn/core/math.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

namespace {

using linattn::detail::constexpr_sqrt;
using linattn::detail::saturating_multiply;

TEST_CASE("the square root at compile time is the library's to the last bit or two") {
  static_assert(constexpr_sqrt(4.0) == 2.0 && constexpr_sqrt(0.0) == 0.0 && constexpr_sqrt(-1.0) == 0.0);
  for (double x : {1e-12, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 16.0, 65.0, 1e9, 1e18}) {
    CAPTURE(x);
    CHECK(std::abs(constexpr_sqrt(x) - std::sqrt(x)) <= 2 * std::numeric_limits<double>::epsilon() * std::sqrt(x));
  }
}

TEST_CASE("products of sizes saturate at the top instead of wrapping") {
  constexpr std::int64_t largest = (std::numeric_limits<std::int64_t>::max)();
  static_assert(saturating_multiply(6, 7) == 42);
  CHECK(saturating_multiply(std::int64_t{1} << 31, std::int64_t{1} << 31) == std::int64_t{1} << 62);
  CHECK(saturating_multiply(std::int64_t{1} << 32, std::int64_t{1} << 31) == largest);
  CHECK(saturating_multiply(largest, largest) == largest);
  CHECK(saturating_multiply(largest, 0) == 0);
  CHECK(saturating_multiply(0, largest) == 0);
  CHECK(saturating_multiply(-3, 5) == -15);
  CHECK(saturating_multiply((std::numeric_limits<std::int64_t>::min)(), 2) == largest);
}

TEST_CASE("rsqrt is one over the root") {
  CHECK(linattn::detail::rsqrt(4.0F) == 0.5F);
  CHECK(linattn::detail::rsqrt(16.0) == 0.25);
}

}  // namespace
