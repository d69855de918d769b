// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The engine's hot loops, one function a case, for check_instructions.py to count what they execute. It prints a line a
// case in the order in which they run: its function and its useful flop. No clock, no test framework, one thread.

#include <linattn/linattn.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <type_traits>
#include <vector>

namespace {

using linattn::attention;
using linattn::chunkwise;
using linattn::cpu_executor;
using linattn::parallel;
using linattn::rebased;
using linattn::taylor;

constexpr std::int64_t heads = 2;
constexpr std::int64_t value_dim = 64;

/// Numbers between -1 and 1, the same everywhere.
template <class Element>
std::vector<Element> numbers(std::int64_t count, std::uint32_t seed) {
  std::vector<Element> made(static_cast<std::size_t>(count));
  for (Element& x : made) {
    seed = seed * 1664525U + 1013904223U;
    x = Element(static_cast<float>(seed >> 8U) / 8388608.0F - 1.0F);
  }
  return made;
}

template <class Attention>
struct call {
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  static constexpr std::int64_t head_dim = map::head_dim;

  std::int64_t time;
  std::vector<element> q, k, v, grad_out, out, grad_q, grad_k, grad_v;
  std::vector<float> denominator;
  linattn::host_state<map> state{1, heads, value_dim};
  std::vector<std::byte> memory{};
  cpu_executor exec{};
  Attention attn{};
  typename Attention::forward_args forward{};
  typename Attention::backward_args backward{};
  typename Attention::step_args step{};

  explicit call(std::int64_t length)
      : time(length),
        q(numbers<element>(heads * time * head_dim, 1)),
        k(numbers<element>(heads * time * head_dim, 2)),
        v(numbers<element>(heads * time * value_dim, 3)),
        grad_out(numbers<element>(heads * time * value_dim, 4)),
        out(v.size()),
        grad_q(q.size()),
        grad_k(k.size()),
        grad_v(v.size()),
        denominator(static_cast<std::size_t>(heads * time)) {
    auto const rows = [&](std::vector<element>& x, std::int64_t tokens, std::int64_t channels) {
      return linattn::view_bthd(x.data(), 1, tokens, heads, channels);
    };
    auto const sums = linattn::view_bth(denominator.data(), 1, time, heads);
    forward.q = backward.q = rows(q, time, head_dim);
    forward.k = backward.k = rows(k, time, head_dim);
    forward.v = backward.v = rows(v, time, value_dim);
    forward.out = rows(out, time, value_dim);
    forward.denominator = sums;
    backward.out = forward.out;
    backward.denominator = sums;
    backward.grad_out = rows(grad_out, time, value_dim);
    backward.grad_q = rows(grad_q, time, head_dim);
    backward.grad_k = rows(grad_k, time, head_dim);
    backward.grad_v = rows(grad_v, time, value_dim);
    step.q = rows(q, 1, head_dim);
    step.k = rows(k, 1, head_dim);
    step.v = rows(v, 1, value_dim);
    step.out = rows(out, 1, value_dim);
    exec.threads = 1;
    memory.resize(
        std::max({linattn::workspace_bytes(exec, attn, forward), linattn::workspace_bytes(exec, attn, backward),
                  linattn::workspace_bytes(exec, attn, step)}));
    exec.workspace = std::span<std::byte>(memory);
  }

  /// The state's products; `parallel`'s are those of the pairs that the mask leaves.
  [[nodiscard]] double forward_flop() const {
    double const tokens = static_cast<double>(heads * time);
    return std::is_same_v<typename Attention::strategy_type, parallel>
               ? tokens * static_cast<double>((time + 1) * (head_dim + value_dim))
               : tokens * 4.0 * map::feature_dim * static_cast<double>(value_dim);
  }
  [[nodiscard]] bool finite() const {
    float sum = 0;
    for (auto const* const x : {&out, &grad_q, &grad_k, &grad_v}) {
      for (element const y : *x) {
        sum += static_cast<float>(y);
      }
    }
    return std::isfinite(sum) && sum != 0;
  }
};

using half = attention<rebased<16>, chunkwise<>, linattn::sum_normalizer, linattn::bf16>;

call<attention<rebased<16>>> rebased_16(256);
call<attention<taylor<16>>> taylor_16(256);
call<attention<rebased<64>>> rebased_64(256);
call<attention<rebased<16>, parallel>> parallel_16(256);
call<half> half_16(256);

}  // namespace

// Functions with C names and in a fixed order, that callgrind finds.
#define LINATTN_CASE(name) extern "C" __attribute__((noinline)) void name()
LINATTN_CASE(case_forward_rebased_16) { linattn::forward(rebased_16.exec, rebased_16.attn, rebased_16.forward); }
LINATTN_CASE(case_forward_taylor_16) { linattn::forward(taylor_16.exec, taylor_16.attn, taylor_16.forward); }
LINATTN_CASE(case_forward_rebased_64) { linattn::forward(rebased_64.exec, rebased_64.attn, rebased_64.forward); }
LINATTN_CASE(case_forward_parallel_16) { linattn::forward(parallel_16.exec, parallel_16.attn, parallel_16.forward); }
LINATTN_CASE(case_forward_bf16) { linattn::forward(half_16.exec, half_16.attn, half_16.forward); }
LINATTN_CASE(case_backward_rebased_16) { linattn::backward(rebased_16.exec, rebased_16.attn, rebased_16.backward); }
LINATTN_CASE(case_backward_parallel_16) { linattn::backward(parallel_16.exec, parallel_16.attn, parallel_16.backward); }
LINATTN_CASE(case_step_rebased_16) {
  for (int token = 0; token < 16; ++token) {
    linattn::step(rebased_16.exec, rebased_16.attn, rebased_16.state.view(), rebased_16.step);
  }
}

int main() {
  struct one {
    char const* name;
    void (*run)();
    double flop;
  };
  // Backward: 10 D V for 4 D V of forward; in pairs, 4 d + 3 V for d + V.
  double const pairs = parallel_16.forward_flop() * (4.0 * 16 + 3.0 * 64) / (16 + 64);
  double const step_flop = 16.0 * heads * 4 * rebased<16>::feature_dim * value_dim;
  one const cases[] = {
      {"case_forward_rebased_16", case_forward_rebased_16, rebased_16.forward_flop()},
      {"case_forward_taylor_16", case_forward_taylor_16, taylor_16.forward_flop()},
      {"case_forward_rebased_64", case_forward_rebased_64, rebased_64.forward_flop()},
      {"case_forward_parallel_16", case_forward_parallel_16, parallel_16.forward_flop()},
      {"case_forward_bf16", case_forward_bf16, half_16.forward_flop()},
      {"case_backward_rebased_16", case_backward_rebased_16, 2.5 * rebased_16.forward_flop()},
      {"case_backward_parallel_16", case_backward_parallel_16, pairs},
      {"case_step_rebased_16", case_step_rebased_16, step_flop},
  };
  for (one const& c : cases) {
    c.run();
    std::printf("%s %.0f\n", c.name, c.flop);
  }
  bool const finite =
      rebased_16.finite() && taylor_16.finite() && rebased_64.finite() && parallel_16.finite() && half_16.finite();
  return finite ? 0 : 1;
}
