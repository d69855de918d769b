// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packed offsets: both integer widths, empty sequences, and what is refused.
#include <linattn/core/segments.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

using linattn::sequence_offsets;

std::string refusal(sequence_offsets const& offsets, std::int64_t time) {
  linattn::diagnostic report("forward");
  bool const good = offsets.check(report, time);
  CHECK(good == report.ok());
  return report.message();
}

TEST_CASE("absent offsets are accepted for any time") {
  sequence_offsets const absent{};
  CHECK_FALSE(absent.present());
  CHECK(refusal(absent, 17).empty());
}

TEST_CASE_TEMPLATE("offsets of either width count their sequences, empty ones too", Int, std::int32_t, std::int64_t) {
  std::vector<Int> numbers{0, 3, 3, 10};
  sequence_offsets const offsets = std::span<Int const>(numbers);
  CHECK(offsets.present());
  CHECK(offsets.sequences() == 3);
  CHECK(offsets[2] == 3);
  CHECK(offsets[3] == 10);
  CHECK(refusal(offsets, 10).empty());
  sequence_offsets const mutable_span = std::span<Int>(numbers);
  CHECK(mutable_span.sequences() == 3);
  sequence_offsets const fixed = std::span<Int, 4>(numbers.data(), 4);
  CHECK(fixed.sequences() == 3);
}

TEST_CASE_TEMPLATE("no sequence, and nothing but empty ones, are legal", Int, std::int32_t, std::int64_t) {
  std::vector<Int> const none{0};
  CHECK(refusal(std::span<Int const>(none), 0).empty());
  CHECK(sequence_offsets(std::span<Int const>(none)).sequences() == 0);
  std::vector<Int> const empties{0, 0, 0};
  CHECK(refusal(std::span<Int const>(empties), 0).empty());
}

TEST_CASE_TEMPLATE("bad offsets are refused with what is wrong", Int, std::int32_t, std::int64_t) {
  auto const text = [](std::vector<Int> const& numbers, std::int64_t time) {
    return refusal(std::span<Int const>(numbers), time);
  };
  CHECK(text({1, 5}, 5).find("linattn::forward: cu_seqlens runs from 1 to 5;") == 0);
  CHECK(text({0, 4}, 5).find("linattn::forward: cu_seqlens runs from 0 to 4;") == 0);
  CHECK(text({0, 6}, 5).find("linattn::forward: cu_seqlens runs from 0 to 6;") == 0);
  CHECK(text({0, 4, 3, 5}, 5).find("linattn::forward: cu_seqlens decreases at sequence 1;") == 0);
  CHECK(text({0, -1, 5}, 5).find("linattn::forward: cu_seqlens decreases at sequence 0;") == 0);
  CHECK(text({}, 0).find("linattn::forward: cu_seqlens is empty;") == 0);
}

}  // namespace
