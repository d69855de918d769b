// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Causal Based attention on the CPU, and a head_dim that is only known at run time. Checks itself against the definition.
#include <linattn/linattn.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace example {  // named, so that `time` is not the C library's

constexpr int batch = 2, time = 200, heads = 3, value_dim = 10;

std::vector<float> random_numbers(int count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::generate(numbers.begin(), numbers.end(), [&] { return normal(engine); });
  return numbers;
}

/// out_t = sum_{j <= t} w_tj v_j / sum_{j <= t} w_tj, w_tj = 1 + s + s^2 / 2, s = q_t.k_j / sqrt(head_dim).
double largest_error(std::vector<float> const& q, std::vector<float> const& k, std::vector<float> const& v,
                     std::vector<float> const& out, int head_dim) {
  auto const row = [](auto const& x, int b, int t, int h, int channels) {
    return x.data() + ((b * time + t) * heads + h) * channels;
  };
  double error = 0;
  for (int b = 0; b < batch; ++b) {
    for (int h = 0; h < heads; ++h) {
      for (int t = 0; t < time; ++t) {
        std::vector<double> num(value_dim);
        double den = 0;
        for (int j = 0; j <= t; ++j) {
          double s = 0;
          for (int i = 0; i < head_dim; ++i) {
            s += static_cast<double>(row(q, b, t, h, head_dim)[i]) * static_cast<double>(row(k, b, j, h, head_dim)[i]);
          }
          s /= std::sqrt(head_dim);
          double const w = 1 + s + s * s / 2;
          den += w;
          for (std::size_t c = 0; c < value_dim; ++c) {
            num[c] += w * static_cast<double>(row(v, b, j, h, value_dim)[c]);
          }
        }
        for (std::size_t c = 0; c < value_dim; ++c) {
          error = std::max(error, std::abs(num[c] / den - static_cast<double>(row(out, b, t, h, value_dim)[c])));
        }
      }
    }
  }
  return error;
}

int run_example() {
  std::vector<float> const q = random_numbers(batch * time * heads * 16, 1);
  std::vector<float> const k = random_numbers(batch * time * heads * 16, 2);
  std::vector<float> const v = random_numbers(batch * time * heads * value_dim, 3);
  std::vector<float> out(v.size());

  using based = linattn::attention<linattn::taylor<16>>;            // chunkwise<>, sum_normalizer, float
  linattn::forward(linattn::cpu_executor{}, based{},
      {.q   = linattn::view_bthd(q.data(), batch, time, heads, 16),
       .k   = linattn::view_bthd(k.data(), batch, time, heads, 16),
       .v   = linattn::view_bthd(v.data(), batch, time, heads, value_dim),
       .out = linattn::view_bthd(out.data(), batch, time, heads, value_dim)});
  double error = largest_error(q, k, v, out, 16);
  std::printf("head_dim 16: largest error %.1e\n", error);

  int const d = 32;  // read from a file, say
  std::vector<float> const wide_q = random_numbers(batch * time * heads * d, 4);
  std::vector<float> const wide_k = random_numbers(batch * time * heads * d, 5);
  auto const run = [&](auto attn) {
    linattn::forward(linattn::cpu_executor{}, attn,
                     {.q = linattn::view_bthd(wide_q.data(), batch, time, heads, d),
                      .k = linattn::view_bthd(wide_k.data(), batch, time, heads, d),
                      .v = linattn::view_bthd(v.data(), batch, time, heads, value_dim),
                      .out = linattn::view_bthd(out.data(), batch, time, heads, value_dim)});
  };
  linattn::dispatch("head_dim", d, linattn::ints<16, 32, 64>{},
                    [&](auto head_dim) { run(linattn::attention<linattn::taylor<head_dim.value>>{}); });
  error = std::max(error, largest_error(wide_q, wide_k, v, out, d));
  std::printf("head_dim %d: largest error %.1e\n", d, error);
  return error < 5e-5 ? 0 : 1;
}

}  // namespace example

int main() { return example::run_example(); }
