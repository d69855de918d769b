// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A problem to time: random q, k, v in (batch, time, head, channel) order, and a check of sampled rows against the
// definition in double, so that no wrong answer is timed.
#ifndef LINATTN_BENCHMARKS_SUPPORT_PROBLEM_HPP
#define LINATTN_BENCHMARKS_SUPPORT_PROBLEM_HPP

#include <linattn/linattn.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace linattn_benchmark {

inline std::vector<float> normal_numbers(std::int64_t count, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& x : numbers) {
    x = normal(bits);
  }
  return numbers;
}

template <class Attention>
struct problem {
  using map = typename Attention::map_type;

  std::int64_t heads;
  std::int64_t time;
  std::int64_t value_dim;
  Attention attention{};
  std::vector<float> q, k, v, grad_out, out, denominator;

  problem(std::int64_t head_count, std::int64_t length, std::int64_t values)
      : heads(head_count),
        time(length),
        value_dim(values),
        q(normal_numbers(heads * time * map::head_dim, 1)),
        k(normal_numbers(heads * time * map::head_dim, 2)),
        v(normal_numbers(heads * time * value_dim, 3)),
        grad_out(normal_numbers(heads * time * value_dim, 4)),
        out(v.size()),
        denominator(static_cast<std::size_t>(heads * time)) {}

  [[nodiscard]] typename Attention::forward_args forward_args() {
    return {.q = linattn::view_bthd(q.data(), 1, time, heads, map::head_dim),
            .k = linattn::view_bthd(k.data(), 1, time, heads, map::head_dim),
            .v = linattn::view_bthd(v.data(), 1, time, heads, value_dim),
            .out = linattn::view_bthd(out.data(), 1, time, heads, value_dim),
            .denominator = linattn::view_bth(denominator.data(), 1, time, heads)};
  }

  /// The largest error of a few rows of head 0 and of the last head, relative to the size of the row.
  [[nodiscard]] double worst_row_error() const {
    double worst = 0;
    for (std::int64_t const head : {std::int64_t{0}, heads - 1}) {
      for (std::int64_t const t : {std::int64_t{0}, time / 2, time - 1}) {
        worst = std::fmax(worst, row_error(head, t));
      }
    }
    return worst;
  }

 private:
  [[nodiscard]] std::vector<double> prepared(std::vector<float> const& rows, linattn::role role, std::int64_t head,
                                             std::int64_t t) const {
    auto const first = rows.begin() + (t * heads + head) * map::head_dim;
    std::vector<double> row(first, first + map::head_dim);
    attention.map.prepare(row.data(), role, static_cast<int>(head));
    return row;
  }

  [[nodiscard]] double row_error(std::int64_t head, std::int64_t t) const {
    std::vector<double> const query = prepared(q, linattn::role::query, head, t);
    std::vector<double> sum(static_cast<std::size_t>(value_dim));
    double den = 0;
    for (std::int64_t j = 0; j <= t; ++j) {
      std::vector<double> const key = prepared(k, linattn::role::key, head, j);
      double s = 0;
      for (std::size_t i = 0; i < key.size(); ++i) {
        s += query[i] * key[i];
      }
      double const weight = attention.map.score(s);
      den += weight;
      for (std::size_t c = 0; c < sum.size(); ++c) {
        sum[c] += weight * static_cast<double>(v[static_cast<std::size_t>((j * heads + head) * value_dim) + c]);
      }
    }
    double error = 0;
    double size = 0;
    for (std::size_t c = 0; c < sum.size(); ++c) {
      double const want = sum[c] * attention.normalizer.scale(den);
      double const got = static_cast<double>(out[static_cast<std::size_t>((t * heads + head) * value_dim) + c]);
      error += (got - want) * (got - want);
      size += want * want;
    }
    return std::sqrt(error / size);
  }
};

}  // namespace linattn_benchmark

#endif
