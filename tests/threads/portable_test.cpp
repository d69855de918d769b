// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Threads that share a sequence in the engine without vectors, where sizes are no multiples of a cache line.
#define LINATTN_NO_VECTOR_EXTENSIONS
#include <linattn/linattn.hpp>
#include <linattn/tuning/cpu.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace {

constexpr int head_dim = 16;
constexpr int value_dim = 5;
constexpr std::int64_t time = linattn::detail::cpu_tuning::segment_tokens + 531;

constexpr float unwritten = std::numeric_limits<float>::quiet_NaN();

struct result {
  std::vector<float> out = std::vector<float>(std::size_t{time} * value_dim, unwritten);
  std::vector<float> grad_q = std::vector<float>(std::size_t{time} * head_dim, unwritten);
  std::vector<float> grad_k = grad_q;
  std::vector<float> grad_v = out;
  bool operator==(result const&) const = default;
};

TEST_CASE("two segments of odd sizes give the same bits on one thread and on three, forward and backward") {
  using attention = linattn::attention<linattn::taylor<head_dim>, linattn::chunkwise<>>;
  std::mt19937 bits(42);
  std::normal_distribution<float> normal;
  auto const random = [&](int channels) {
    std::vector<float> numbers(static_cast<std::size_t>(time * channels));
    for (float& x : numbers) {
      x = normal(bits);
    }
    return numbers;
  };
  std::vector<float> const q = random(head_dim);
  std::vector<float> const k = random(head_dim);
  std::vector<float> const v = random(value_dim);
  std::vector<float> const g = random(value_dim);
  auto const rows = [](auto& x, int channels) { return linattn::view_bthd(x.data(), 1, time, 1, channels); };
  auto const run = [&](int threads) {
    result r;
    linattn::cpu_executor exec{};
    exec.threads = threads;
    linattn::forward(
        exec, attention{},
        {.q = rows(q, head_dim), .k = rows(k, head_dim), .v = rows(v, value_dim), .out = rows(r.out, value_dim)});
    linattn::backward(exec, attention{},
                      {.q = rows(q, head_dim),
                       .k = rows(k, head_dim),
                       .v = rows(v, value_dim),
                       .grad_out = rows(g, value_dim),
                       .grad_q = rows(r.grad_q, head_dim),
                       .grad_k = rows(r.grad_k, head_dim),
                       .grad_v = rows(r.grad_v, value_dim)});
    return r;
  };
  result const one = run(1);
  CHECK(one == run(3));  // false of what was not written, which is NaN
}

}  // namespace
