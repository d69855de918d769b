// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The oracle's side of one row: the features of each map, preparation and its backward.
#include "support/oracle.hpp"

#include <cmath>

namespace linattn_test {
namespace {

using std::size_t;

bool has_layer_norm(recipe const& map) {
  return map.prepare == preparation::layer_norm || map.prepare == preparation::layer_norm_all_heads;
}

bool is_scaled(recipe const& map) {
  return map.prepare == preparation::scaled || map.prepare == preparation::affine || has_layer_norm(map);
}

/// The normalised row(s) y and, in `rstd`, the factor of each number.
void layer_norm(problem const& p, tracked_vector& y, tracked_vector& rstd) {
  size_t const width = p.map.prepare == preparation::layer_norm ? static_cast<size_t>(p.head_dim) : y.size();
  for (size_t begin = 0; begin < y.size(); begin += width) {
    tracked mean;
    for (size_t i = begin; i < begin + width; ++i) {
      mean += y[i];
    }
    mean = mean / static_cast<double>(width);
    tracked variance;
    for (size_t i = begin; i < begin + width; ++i) {
      y[i] = y[i] - mean;
      variance += y[i] * y[i];
    }
    tracked const factor = reciprocal_sqrt(variance / static_cast<double>(width) + p.layer_norm_eps);
    for (size_t i = begin; i < begin + width; ++i) {
      y[i] = y[i] * factor;
      rstd[i] = factor;
    }
  }
}

void layer_norm_backward(problem const& p, tracked_vector const& y, tracked_vector const& rstd, tracked_vector& grad) {
  size_t const width = p.map.prepare == preparation::layer_norm ? static_cast<size_t>(p.head_dim) : y.size();
  for (size_t begin = 0; begin < y.size(); begin += width) {
    tracked mean;
    tracked along;
    for (size_t i = begin; i < begin + width; ++i) {
      mean += grad[i];
      along += grad[i] * y[i];
    }
    mean = mean / static_cast<double>(width);
    along = along / static_cast<double>(width);
    for (size_t i = begin; i < begin + width; ++i) {
      grad[i] = (grad[i] - mean - y[i] * along) * rstd[i];
    }
  }
}

}  // namespace

std::vector<monomial> monomials_of(recipe const& map, int head_dim) {
  double const* c = map.coefficients;
  std::vector<monomial> list;
  if (c[0] > 0) {
    list.push_back({std::sqrt(c[0]), {}});
  }
  for (int i = 0; c[1] > 0 && i < head_dim; ++i) {
    list.push_back({std::sqrt(c[1]), {i}});
  }
  for (int i = 0; c[2] > 0 && i < head_dim; ++i) {
    for (int j = i; j < head_dim; ++j) {
      list.push_back({std::sqrt(i == j ? c[2] : 2 * c[2]), {i, j}});
    }
  }
  for (int n = 0; c[3] > 0 && n < head_dim * head_dim * head_dim; ++n) {
    list.push_back({std::sqrt(c[3]), {n / (head_dim * head_dim), n / head_dim % head_dim, n % head_dim}});
  }
  return list;
}

size_t feature_count(recipe const& map, int head_dim) { return monomials_of(map, head_dim).size(); }

tracked_vector oracle_prepare(problem const& p, bool query, std::vector<double> const& x) {
  tracked_vector y(x.begin(), x.end());
  tracked_vector rstd(x.size(), 1.0);
  std::vector<double> const& gamma = query ? p.gamma_q : p.gamma_k;
  std::vector<double> const& beta = query ? p.beta_q : p.beta_k;
  if (has_layer_norm(p.map)) {
    layer_norm(p, y, rstd);
  }
  for (size_t i = 0; i < y.size(); ++i) {
    if (p.map.prepare == preparation::elu_plus_one) {
      y[i] = y[i].value > 0 ? y[i] + 1 : exponential(y[i]);
    }
    if (p.map.prepare == preparation::cos_sin) {
      double const angle = x[i - i % 2];
      y[i] = bounded_by_one(i % 2 == 0 ? std::cos(angle) : std::sin(angle), angle);
    }
    if (!gamma.empty()) {
      y[i] = y[i] * gamma[i];
    }
    if (!beta.empty()) {
      y[i] = y[i] + beta[i];
    }
    if (is_scaled(p.map)) {
      y[i] = y[i] * std::pow(p.head_dim, -0.25);
    }
  }
  return y;
}

void oracle_prepare_backward(problem const& p, bool query, std::vector<double> const& x, tracked_vector& grad,
                             tracked_vector& grad_gamma, tracked_vector& grad_beta) {
  tracked_vector y(x.begin(), x.end());
  tracked_vector rstd(x.size(), 1.0);
  std::vector<double> const& gamma = query ? p.gamma_q : p.gamma_k;
  if (has_layer_norm(p.map)) {
    layer_norm(p, y, rstd);
  }
  for (size_t i = 0; i < y.size(); ++i) {
    if (is_scaled(p.map)) {
      grad[i] = grad[i] * std::pow(p.head_dim, -0.25);
    }
    grad_gamma[i] += grad[i] * y[i];
    grad_beta[i] += grad[i];
    if (!gamma.empty()) {
      grad[i] = grad[i] * gamma[i];
    }
    if (p.map.prepare == preparation::elu_plus_one && x[i] <= 0) {
      grad[i] = grad[i] * exponential(x[i]);
    }
  }
  if (has_layer_norm(p.map)) {
    layer_norm_backward(p, y, rstd, grad);
  }
}

}  // namespace linattn_test
