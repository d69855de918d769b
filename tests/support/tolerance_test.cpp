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

TEST_CASE("a comparison allows for each rounding of a matrix unit's factors, and for no more") {
  precision const plain{element_kind::float32, 3};
  CHECK(compare({1 + 3 * 0x1p-24}, {1.0}, plain).ok);
  CHECK_FALSE(compare({1 + 4 * 0x1p-24}, {1.0}, plain).ok);
  for (double const roundoff : {0x1p-8, 0x1p-11, 0x1p-21}) {
    CAPTURE(roundoff);
    double const bound = 3 * 0x1p-24 + 10 * roundoff;
    precision const rounded{element_kind::float32, 3, roundoff, 10};
    CHECK(compare({1 + 0.999 * bound}, {1.0}, rounded).ok);
    CHECK_FALSE(compare({1 + 1.001 * bound}, {1.0}, rounded).ok);
    CHECK(compare({1 + 4.995 * bound}, {tracked(1.0, 5.0)}, rounded).ok);  // of the magnitude, not of the value
    CHECK_FALSE(compare({1 + 5.005 * bound}, {tracked(1.0, 5.0)}, rounded).ok);
  }
  // The rounding to the element type comes on top.
  precision const stored{element_kind::bfloat16, 1, 0x1p-8, 10};
  CHECK(compare({1 + 0.999 * 11 * 0x1p-8}, {1.0}, stored).ok);
  CHECK_FALSE(compare({1 + 1.05 * 11 * 0x1p-8}, {1.0}, stored).ok);
}

TEST_CASE("a run without matrix units has the bound that it had before there were any") {
  problem p;
  p.time = 130;
  p.head_dim = 16;
  p.value_dim = 80;
  precision const none = precision_of(p, element_kind::float32);
  CHECK(none.operand == 0);
  double const bound = none.terms * 0x1p-24;
  CHECK(compare({1 + 0.999 * bound}, {1.0}, none).ok);
  CHECK_FALSE(compare({1 + 1.001 * bound}, {1.0}, none).ok);
  CHECK(compare({1 + 0.999 * 10 * 0x1p-11}, {1.0}, precision_of(p, element_kind::float32, 0x1p-11)).ok);
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
