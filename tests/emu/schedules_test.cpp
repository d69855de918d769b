// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fibers, the orders in which they run, and what a launch leaves behind.
#include <doctest/doctest.h>

#include <linattn/simt/launch.hpp>

#include "emu/device_buffer.hpp"
#include "emu/executor.hpp"
#include "emu/fiber.hpp"

#include <cstring>
#include <string>
#include <vector>

namespace {

namespace emu = linattn::emu;
namespace simt = linattn::simt;
using linattn_test::device_buffer;
using linattn_test::require;

/// Sums of rows in an order that depends on nothing: 1024 threads, barriers in a loop, shuffles.
struct many_threads {
  static constexpr int kThreads = 1024, kMinBlocks = 1;
  struct Params {
    float const* in;
    float* out;
  };
  struct Shared {
    float values[1024];
    float scratch[32];
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    auto const t = static_cast<int>(simt::thread_idx().x);
    auto const block = static_cast<int>(simt::block_idx().x);
    float value = p.in[t] * static_cast<float>(block + 1);
    for (int distance = 1; distance < 8; distance *= 2) {
      s.values[t] = value;
      simt::block_sync();
      value += s.values[t ^ (64 * distance)] * 0.37F;
      simt::block_sync();
    }
    p.out[1024 * block + t] = value + simt::block_sum(value, s.scratch);
  }
};

/// Records who comes first. Wrong on purpose: its result depends on the schedule.
struct order_of_arrival {
  static constexpr int kThreads = 64, kMinBlocks = 1;
  struct Params {
    int* out;
  };
  struct Shared {
    int arrived;
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = static_cast<int>(simt::thread_idx().x);
    if (t == 0) {
      s.arrived = 0;
    }
    simt::block_sync();
    p.out[t] = s.arrived++;
  }
};

std::vector<float> run_many(emu::options const& chosen) {
  emu::scoped_options const scope(chosen);
  std::vector<float> values(1024);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 1.0F / static_cast<float>(i + 1);
  }
  device_buffer<float> const in(values), out(3 * 1024);
  require(simt::launch<many_threads>({3, 1, 1}, {in.data(), out.data()}, nullptr));
  return out.download();
}

std::vector<int> run_arrivals(unsigned seed, emu::schedule order) {
  emu::options chosen;
  chosen.seed = seed;
  chosen.order = order;
  chosen.shadow = false;
  emu::scoped_options const scope(chosen);
  device_buffer<int> const out(64);
  require(simt::launch<order_of_arrival>({}, {out.data()}, nullptr));
  return out.download();
}

linattn::emu::detail::fiber host_fiber;
linattn::emu::detail::fiber other_fiber;
double shared_by_fibers = 0.0;

void count_up() {
  double mine = 0.25;
  for (;;) {
    mine += 1.0;
    shared_by_fibers += mine;
    switch_fiber(other_fiber, host_fiber);
  }
}

}  // namespace

TEST_CASE("a fiber goes on where it was, with its own variables") {
  std::vector<char> stack(64 << 10);
  prepare(other_fiber, stack.data(), stack.size(), count_up);
  double expected = 0.0;
  for (int i = 1; i <= 1000; ++i) {
    double const before = static_cast<double>(i) * 3.0;
    switch_fiber(host_fiber, other_fiber);
    expected += 0.25 + static_cast<double>(i);
    CHECK(before == static_cast<double>(i) * 3.0);
  }
  CHECK(shared_by_fibers == expected);
}

TEST_CASE("a sound kernel gives the same bits in every order of its threads") {
  emu::options chosen;
  auto const expected = run_many(chosen);
  for (auto const order : {emu::schedule::in_order, emu::schedule::reverse, emu::schedule::random}) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
      chosen.order = order;
      chosen.seed = seed;
      chosen.preempt = seed == 3 ? 5 : 0;
      chosen.shadow = seed != 2;
      CHECK(run_many(chosen) == expected);
    }
  }
}

TEST_CASE("the seed alone decides the order, and different seeds give different ones") {
  CHECK(run_arrivals(1, emu::schedule::random) == run_arrivals(1, emu::schedule::random));
  CHECK(run_arrivals(1, emu::schedule::random) != run_arrivals(2, emu::schedule::random));
  auto const in_order = run_arrivals(1, emu::schedule::in_order);
  CHECK(in_order == run_arrivals(9, emu::schedule::in_order));
  CHECK(in_order != run_arrivals(1, emu::schedule::reverse));
}

TEST_CASE("the same seed finds the same fault") {
  std::string texts[2];
  for (auto& text : texts) {
    device_buffer<int> const out(64);
    try {
      require(simt::launch<order_of_arrival>({}, {out.data()}, nullptr));
    } catch (emu::kernel_error const& error) {
      CHECK(error.kind == emu::fault::shared_race);
      text = error.what();
    }
  }
  CHECK(!texts[0].empty());
  CHECK(texts[0] == texts[1]);
}

TEST_CASE("after a fault, the next launch runs") {
  device_buffer<int> const out(64);
  CHECK_THROWS_AS(require(simt::launch<order_of_arrival>({}, {out.data()}, nullptr)), emu::kernel_error);
  CHECK(run_many({}) == run_many({}));
}

TEST_CASE("options hold for a scope") {
  emu::current_options().seed = 5;
  {
    emu::options other;
    other.seed = 6;
    emu::scoped_options const scope(other);
    CHECK(emu::current_options().seed == 6);
  }
  CHECK(emu::current_options().seed == 5);
  emu::current_options() = {};
}

TEST_CASE("the host reads and writes device memory between launches, unchecked") {
  device_buffer<float> const buffer(100);
  CHECK(emu::is_device_pointer(buffer.data()));
  CHECK(emu::is_device_pointer(buffer.data() + 99));
  float here = 1.0F;
  CHECK_FALSE(emu::is_device_pointer(&here));
  CHECK(buffer.data()[7] != buffer.data()[7]);  // NaN: nobody wrote it
  buffer.data()[7] = here;
  std::memcpy(&here, buffer.data() + 7, sizeof(here));
  CHECK(here == 1.0F);
}

TEST_CASE("calls that the device would refuse are faults") {
  auto const refused = [](simt::extent3 grid, emu::kernel_call const& call) {
    try {
      emu::launch(grid, call);
    } catch (emu::kernel_error const& error) {
      return error.kind == emu::fault::bad_call;
    }
    return false;
  };
  auto* const body = +[](void const*, void*) {};
  CHECK(refused({0, 1, 1}, {body, nullptr, 0, 0, 32}));
  CHECK(refused({1, 65536, 1}, {body, nullptr, 0, 0, 32}));
  CHECK(refused({1, 1, 1}, {body, nullptr, 0, 0, 1056}));
  CHECK(refused({1, 1, 1}, {body, nullptr, 0, 228 << 10, 32}));
  float here = 0.0F;
  CHECK_THROWS_AS(emu::mark_initialised(&here, 4), emu::kernel_error);
  CHECK_THROWS_AS(emu::release(&here), emu::kernel_error);
}
