// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The mirror by itself: what a "kernel" of this test finds and leaves behind.
#include "device.hpp"
#include "device_mirror.hpp"
#include "support/state_memory.hpp"
#include "support/tensor.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace linattn_test {
namespace {

using linattn::element_kind;

/// A number of a tensor on the device.
float read(raw_tensor const& t, std::int64_t b, std::int64_t h, std::int64_t time, std::int64_t c) {
  float x = 0;
  device::copy_to_host(&x, &t.rows<float>()(b, h, time, c), sizeof x);
  return x;
}
void write(raw_tensor const& t, std::int64_t offset, float x) {
  device::copy_to_device(static_cast<float*>(t.data) + offset, &x, sizeof x);
}

struct fixture {
  call arguments(memory_order order) {
    q = tensor(element_kind::float32, order, 2, 3, 4, 5);
    k = tensor(element_kind::float32, memory_order::broadcast, 2, 3, 4, 5);
    out = tensor(element_kind::float32, order, 2, 3, 4, 5);
    std::vector<double> numbers;
    for (int i = 0; i < 2 * 3 * 4 * 5; ++i) {
      numbers.push_back(i);
    }
    q.fill(numbers);
    call c{};
    c.q = q.view();
    c.k = k.view();
    c.out = out.view();
    return c;
  }

  tensor q{element_kind::float32, memory_order::bthd, 0, 0, 0, 0};
  tensor k{element_kind::float32, memory_order::bthd, 0, 0, 0, 0};
  tensor out{element_kind::float32, memory_order::bthd, 0, 0, 0, 0};
};

TEST_CASE_FIXTURE(fixture, "the device sees every element at the host's remainder by 16, and outputs come back") {
  for (memory_order order : {memory_order::bthd, memory_order::bhtd, memory_order::sliced, memory_order::reversed}) {
    call const c = arguments(order);
    device_mirror mirror(verb_kind::forward, c, {4, 4});
    call const& there = mirror.arguments();
    CHECK(there.q.data != c.q.data);
    CHECK(reinterpret_cast<std::uintptr_t>(there.q.data) % 16 == reinterpret_cast<std::uintptr_t>(c.q.data) % 16);
    CHECK(read(there.q, 0, 0, 0, 0) == 0);
    CHECK(read(there.q, 1, 2, 3, 4) == 119);
    CHECK(read(there.q, 0, 1, 0, 0) == 20);
    write(there.out, &c.out.rows<float>()(1, 0, 2, 3) - static_cast<float*>(c.out.data), 7);
    mirror.copy_back();
    CHECK(c.out.rows<float>()(1, 0, 2, 3) == 7);
    CHECK(out.canaries_intact());
    CHECK_FALSE(out.untouched());
  }
}

TEST_CASE_FIXTURE(fixture, "what is written between an output's rows comes back, what is written to an input throws") {
  call const c = arguments(memory_order::sliced);
  {
    device_mirror mirror(verb_kind::forward, c, {4, 4});
    write(mirror.arguments().out, 15, 7);  // behind the last head of the first token
    mirror.copy_back();
    CHECK_FALSE(out.canaries_intact());
  }
  device_mirror mirror(verb_kind::forward, c, {4, 4});
  write(mirror.arguments().q, 0, 7);
  CHECK_THROWS_AS(mirror.copy_back(), std::runtime_error);
}

TEST_CASE_FIXTURE(fixture, "what is written next to a buffer throws, where the device does not see it by itself") {
  call c = arguments(memory_order::sliced);
  REQUIRE(reinterpret_cast<std::uintptr_t>(c.out.data) % 16 != 0);
  device_mirror mirror(verb_kind::forward, c, {4, 4});
  write(mirror.arguments().out, -1, 7);
  CHECK_THROWS_AS(mirror.copy_back(), std::runtime_error);
}

TEST_CASE("states in place share memory on the device, their slots are copied and absent tensors stay null") {
  state_memory states(element_kind::float32, 6, 3, 2, 4, linattn::state_layout::value_major, true);
  call c{};
  c.initial_state = states.view();
  c.final_state = states.view();
  device_mirror mirror(verb_kind::forward, c, {2, 4});
  call const& there = mirror.arguments();
  CHECK(there.initial_state.kv.data == there.final_state.kv.data);
  CHECK(there.initial_state.k_sum.data == there.final_state.k_sum.data);
  CHECK(there.initial_state.kv.data != c.initial_state.kv.data);
  CHECK(there.initial_state.slots.data() != c.initial_state.slots.data());
  CHECK(there.initial_state.slots.size() == 3);
  CHECK(there.q.data == nullptr);
  CHECK(there.offsets.narrow.data() == nullptr);
  std::int32_t slot = 0;
  device::copy_to_host(&slot, there.initial_state.slots.data(), sizeof slot);
  CHECK(slot == c.initial_state.slots[0]);
}

}  // namespace
}  // namespace linattn_test
