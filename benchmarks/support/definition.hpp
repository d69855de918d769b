// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One row of an output or a gradient by the definition, in double: sums over the tokens that the row sees, or is seen
// by. It asks the map for its hooks, which tests/feature and tests/gradient hold to the formulas, and the engine for
// nothing, except that gradients by keys and values start from a saved output and denominator, as backward does.
#ifndef LINATTN_BENCHMARKS_SUPPORT_DEFINITION_HPP
#define LINATTN_BENCHMARKS_SUPPORT_DEFINITION_HPP

#include <linattn/linattn.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_benchmark {

template <class Attention>
struct definition {
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using row = std::vector<double>;

  Attention const& attention;
  typename Attention::forward_args args;
  linattn::tensor_view<element const, 4> grad_outs;
  linattn::tensor_view<element const, 4> outs;
  std::int64_t batch, head;

  /// sum_{j <= t} w_tj v_j, and the sum of the weights.
  struct sums {
    row values;
    double denominator = 0;
  };

  [[nodiscard]] row out(std::int64_t t) const {
    sums s = seen_by(t);
    for (double& x : s.values) {
      x *= attention.normalizer.scale(s.denominator);
    }
    return s.values;
  }

  [[nodiscard]] row grad_q(std::int64_t t) const {
    sums const s = seen_by(t);
    row const g = read(grad_outs, t);
    double const scale = attention.normalizer.scale(s.denominator);
    double const shared = attention.normalizer.scale_grad(s.denominator) * dot(g, s.values);
    row const query = prepared(args.q, linattn::role::query, t);
    row grad(query.size());
    for (std::int64_t j = 0; j <= t; ++j) {
      row const key = prepared(args.k, linattn::role::key, j);
      double const by_weight = scale * dot(g, read(args.v, j)) + shared;
      add(grad, key, by_weight * attention.map.score_grad(dot(query, key)));
    }
    return unprepared(grad, args.q, linattn::role::query, t);
  }

  [[nodiscard]] row grad_k(std::int64_t j) const {
    row const key = prepared(args.k, linattn::role::key, j);
    row const value = read(args.v, j);
    row grad(key.size());
    for (std::int64_t t = j; t < args.q.extents[2]; ++t) {
      row const query = prepared(args.q, linattn::role::query, t);
      row const g = read(grad_outs, t);
      auto const denominator = static_cast<double>(args.denominator(batch, head, t));
      double const scale = attention.normalizer.scale(denominator);
      double const along = dot(g, read(outs, t)) / scale;  // <g_t, sum_j w_tj v_j>
      double const by_weight = scale * dot(g, value) + attention.normalizer.scale_grad(denominator) * along;
      add(grad, query, by_weight * attention.map.score_grad(dot(query, key)));
    }
    return unprepared(grad, args.k, linattn::role::key, j);
  }

  [[nodiscard]] row grad_v(std::int64_t j) const {
    row const key = prepared(args.k, linattn::role::key, j);
    row grad(static_cast<std::size_t>(args.v.extents[3]));
    for (std::int64_t t = j; t < args.q.extents[2]; ++t) {
      double const weight = attention.map.score(dot(prepared(args.q, linattn::role::query, t), key));
      auto const denominator = static_cast<double>(args.denominator(batch, head, t));
      add(grad, read(grad_outs, t), weight * attention.normalizer.scale(denominator));
    }
    return grad;
  }

 private:
  [[nodiscard]] row read(linattn::tensor_view<element const, 4> const& x, std::int64_t t) const {
    row numbers(static_cast<std::size_t>(x.extents[3]));
    for (std::size_t c = 0; c < numbers.size(); ++c) {
      numbers[c] = static_cast<double>(static_cast<float>(x(batch, head, t, c)));
    }
    return numbers;
  }
  [[nodiscard]] row prepared(linattn::tensor_view<element const, 4> const& x, linattn::role r, std::int64_t t) const {
    row numbers = read(x, t);
    attention.map.prepare(numbers.data(), r, static_cast<int>(head));
    return numbers;
  }
  /// The gradient by a row before it was prepared.
  [[nodiscard]] row unprepared(row grad, linattn::tensor_view<element const, 4> const& x, linattn::role r,
                               std::int64_t t) const {
    row partial(static_cast<std::size_t>(map::gradient_size) + 1);
    attention.map.prepare_backward(read(x, t).data(), grad.data(), r, static_cast<int>(head), partial.data());
    return grad;
  }
  [[nodiscard]] sums seen_by(std::int64_t t) const {
    row const query = prepared(args.q, linattn::role::query, t);
    sums s;
    s.values.resize(static_cast<std::size_t>(args.v.extents[3]));
    for (std::int64_t j = 0; j <= t; ++j) {
      double const weight = attention.map.score(dot(query, prepared(args.k, linattn::role::key, j)));
      s.denominator += weight;
      add(s.values, read(args.v, j), weight);
    }
    return s;
  }

  static double dot(row const& a, row const& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum += a[i] * b[i];
    }
    return sum;
  }
  static void add(row& sum, row const& x, double factor) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += factor * x[i];
    }
  }
};

}  // namespace linattn_benchmark

#endif
