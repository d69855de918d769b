// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The instruments checked by themselves: a wrong element, a NaN and an overwritten canary are seen.
#include "support/guarded_buffer.hpp"
#include "support/tensor.hpp"
#include "support/tolerance.hpp"

#include <doctest/doctest.h>

#include <limits>

namespace linattn_test {
namespace {

using linattn::element_kind;

TEST_CASE("a comparison names the worst element and refuses NaN, wrong sizes and wrong infinities") {
  tracked_vector const want{1.0, 2.0, 3.0};
  precision const exact{element_kind::float32, 1};
  double const nan = std::numeric_limits<double>::quiet_NaN();
  double const infinity = std::numeric_limits<double>::infinity();
  CHECK(compare({1, 2, 3}, want, exact).ok);
  CHECK(compare({1, 2 + 0x1p-24, 3}, want, exact).ok);
  CHECK_FALSE(compare({1, 2 + 0x1p-21, 3}, want, exact).ok);
  CHECK(compare({1, 2.5, 3}, want, exact).text.find("worst at 1 of 3: got 2.5, want 2,") == 0);
  CHECK_FALSE(compare({1, nan, 3}, want, exact).ok);
  CHECK_FALSE(compare({1, infinity, 3}, want, exact).ok);
  CHECK_FALSE(compare({1, 2}, want, exact).ok);
  CHECK(compare({}, {}, exact).ok);
}

TEST_CASE("a comparison knows what the element type rounds and where it overflows") {
  double const infinity = std::numeric_limits<double>::infinity();
  CHECK(compare({1 + 0x1p-8}, {1.0}, {element_kind::bfloat16, 1}).ok);
  CHECK_FALSE(compare({1 + 0x1p-7}, {1.0}, {element_kind::bfloat16, 1}).ok);
  CHECK(compare({infinity}, {70000.0}, {element_kind::float16, 1}).ok);
  CHECK_FALSE(compare({-infinity}, {70000.0}, {element_kind::float16, 1}).ok);
  CHECK_FALSE(compare({infinity}, {60000.0}, {element_kind::float16, 1}).ok);
}

TEST_CASE("cancellation widens the bound and large terms alone do not") {
  tracked const difference = tracked(1.0) - tracked(1.0 - 1e-6);
  CHECK(difference.magnitude == doctest::Approx(2));
  tracked const quotient = tracked(6.0) / tracked(2.0);
  CHECK(quotient.value == 3);
  CHECK(quotient.magnitude == doctest::Approx(6));  // a relative error from each side
}

TEST_CASE("a guarded buffer starts as poison and sees every write outside its tensor") {
  tensor t(element_kind::float32, memory_order::sliced, 1, 2, 3, 2);
  CHECK(t.untouched());
  t.fill(std::vector<double>(12, 1.0));
  CHECK(t.canaries_intact());
  CHECK_FALSE(t.untouched());
  CHECK(t.gather() == std::vector<double>(12, 1.0));
  auto const view = t.view().rows<float>();
  float const kept = (&view(0, 1, 0, 1))[1];
  (&view(0, 1, 0, 1))[1] = 0;  // the first element of a gap
  CHECK_FALSE(t.canaries_intact());
  (&view(0, 1, 0, 1))[1] = kept;
  CHECK(t.canaries_intact());
}

TEST_CASE("every memory order holds each element once") {
  for (memory_order order : {memory_order::bthd, memory_order::bhtd, memory_order::sliced, memory_order::reversed}) {
    tensor t(element_kind::float32, order, 2, 3, 4, 5);
    std::vector<double> numbers;
    for (int i = 0; i < 2 * 3 * 4 * 5; ++i) {
      numbers.push_back(i);
    }
    t.fill(numbers);
    CHECK(t.gather() == numbers);
    CHECK(t.view().rows<float>()(1, 2, 3, 4) == 119.0F);
    CHECK(t.view().rows<float>()(0, 1, 0, 0) == 20.0F);
    CHECK(t.canaries_intact());
  }
}

}  // namespace
}  // namespace linattn_test
