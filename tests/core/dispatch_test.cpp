// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// dispatch: a run-time number or element type becomes a compile-time one, and what is not listed is refused.
#include <linattn/dispatch.hpp>

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

namespace {

TEST_CASE("the listed number is passed as a constant, once") {
  std::vector<int> seen;
  for (int value : {64, 16, 32}) {
    linattn::dispatch("head_dim", value, linattn::ints<16, 32, 64>{}, [&](auto constant) {
      static_assert(decltype(constant)::value > 0);
      seen.push_back(constant.value);
    });
  }
  CHECK(seen == std::vector<int>{64, 16, 32});
}

TEST_CASE("a list of one works, and a repeated number is called once") {
  int calls = 0;
  linattn::dispatch("chunk", 7, linattn::ints<7>{}, [&](auto) { ++calls; });
  CHECK(calls == 1);
  linattn::dispatch("chunk", 7, linattn::ints<7, 7>{}, [&](auto) { ++calls; });
  CHECK(calls == 2);
}

TEST_CASE("a number that is not listed is refused with the list in the message") {
  auto const nothing = [](auto) { FAIL("called"); };
  CHECK_THROWS_WITH_AS(linattn::dispatch("head_dim", 20, linattn::ints<16, 32, 64>{}, nothing),
                       "linattn::dispatch: head_dim = 20 is not instantiated; this call lists {16, 32, 64}; add it to the "
                       "list",
                       linattn::shape_error);
  CHECK_THROWS_WITH_AS(linattn::dispatch("head_dim", -1, linattn::ints<16>{}, nothing),
                       "linattn::dispatch: head_dim = -1 is not instantiated; this call lists {16}; add it to the list",
                       linattn::shape_error);
}

TEST_CASE("element types are dispatched by their kind") {
  int size = 0;
  auto const measure = [&](auto type) { size = static_cast<int>(sizeof(typename decltype(type)::type)); };
  using all = linattn::elements<float, double, linattn::bf16, linattn::f16>;
  linattn::dispatch(linattn::element_kind::float64, all{}, measure);
  CHECK(size == 8);
  linattn::dispatch(linattn::element_kind::bfloat16, all{}, measure);
  CHECK(size == 2);
  CHECK_THROWS_AS(linattn::dispatch(linattn::element_kind::float16, linattn::elements<float>{}, measure),
                  linattn::shape_error);
}

TEST_CASE("what the function throws comes through") {
  struct own {};
  CHECK_THROWS_AS(linattn::dispatch("n", 1, linattn::ints<1>{}, [](auto) { throw own{}; }), own);
}

}  // namespace
