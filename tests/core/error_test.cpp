// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Messages: the grammar `linattn::<where>: <got>; <accepted>; <what to do>`, without allocation and without overflow.
#include <linattn/core/error.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using linattn::diagnostic;

TEST_CASE("a fresh diagnostic is empty and raises nothing") {
  diagnostic const report("forward");
  CHECK(report.ok());
  CHECK(std::string(report.message()).empty());
  CHECK_NOTHROW(linattn::detail::raise_unless_ok(report));
}

TEST_CASE("a message names the place and is put together from texts and integers") {
  diagnostic report("forward");
  CHECK_FALSE(report.fail("q has head_dim ", 20, "; ", std::int64_t{-16}, " is accepted; check it"));
  CHECK(std::string(report.message()) == "linattn::forward: q has head_dim 20; -16 is accepted; check it");
}

TEST_CASE("only the first problem is kept") {
  diagnostic report("step");
  report.fail("first");
  report.fail("second");
  CHECK(std::string(report.message()) == "linattn::step: first");
}

TEST_CASE("integers print at the ends of their range, unsigned and narrow ones too") {
  diagnostic report("x");
  report.fail((std::numeric_limits<std::int64_t>::min)(), " ", (std::numeric_limits<std::uint64_t>::max)(), " ",
              std::int8_t{-128}, " ", std::uint16_t{0});
  CHECK(std::string(report.message()) == "linattn::x: -9223372036854775808 18446744073709551615 -128 0");
}

TEST_CASE("a text that is too long is cut, and ends") {
  std::string const endless(2000, 'a');
  diagnostic report("x");
  report.fail(endless.c_str(), 123);
  std::string const text = report.message();
  CHECK(text.size() < 600);
  CHECK(text.find("linattn::x: aaaa") == 0);
  CHECK_FALSE(report.ok());
}

TEST_CASE("shape_error is an invalid_argument and state_error a runtime_error, with the text") {
  static_assert(std::is_base_of_v<std::invalid_argument, linattn::shape_error>);
  static_assert(std::is_base_of_v<std::runtime_error, linattn::state_error>);
  static_assert(noexcept(std::declval<diagnostic&>().fail("x", 1)), "checks are noexcept");
  diagnostic report("backward");
  report.fail("bad");
  CHECK_THROWS_WITH_AS(linattn::detail::raise_unless_ok(report), "linattn::backward: bad", linattn::shape_error);
}

}  // namespace
