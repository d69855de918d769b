// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The oracle's sums over tokens. Index order in every tensor is (batch, head, time, channel), row-major.
#include "support/oracle.hpp"

namespace linattn_test {
namespace {

using std::int64_t;
using std::size_t;

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// Which tokens of which batch row form a sequence.
struct sequence {
  int64_t index, row, begin, end;
};

std::vector<sequence> sequences_of(problem const& p) {
  std::vector<sequence> list;
  for (int64_t n = 0; n < p.sequences(); ++n) {
    if (p.offsets.empty()) {
      list.push_back({n, n, 0, p.time});
    } else {
      list.push_back({n, 0, p.offsets[at(n)], p.offsets[at(n) + 1]});
    }
  }
  return list;
}

tracked dot(tracked const* a, tracked const* b, int64_t size) {
  tracked sum;
  for (int64_t i = 0; i < size; ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

tracked score(recipe const& map, tracked s) {
  tracked value;
  tracked power = 1;
  for (double coefficient : map.coefficients) {
    value += coefficient * power;
    power = power * s;
  }
  return value;
}

tracked score_derivative(recipe const& map, tracked s) {
  tracked value;
  tracked power = 1;
  for (int p = 1; p < 4; ++p) {
    value += (p * map.coefficients[p]) * power;
    power = power * s;
  }
  return value;
}

tracked feature(monomial const& m, tracked const* x) {
  tracked product = m.coefficient;
  for (int i : m.coordinates) {
    product = product * x[i];
  }
  return product;
}

/// grad += g * d m(x) / dx, by the product rule.
void feature_backward(monomial const& m, tracked const* x, tracked g, tracked* grad) {
  for (size_t i = 0; i < m.coordinates.size(); ++i) {
    tracked rest = m.coefficient;
    for (size_t j = 0; j < m.coordinates.size(); ++j) {
      rest = j == i ? rest : rest * x[m.coordinates[j]];
    }
    grad[m.coordinates[i]] += g * rest;
  }
}

/// All rows of one side, prepared: (B, heads, T, d).
tracked_vector prepare_all(problem const& p, bool query) {
  std::vector<double> const& x = query ? p.q : p.k;
  int64_t const heads = query ? p.heads : p.kv_heads;
  int64_t const d = p.head_dim;
  tracked_vector prepared(x.size());
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t t = 0; t < p.time; ++t) {
      std::vector<double> token(at(heads * d));
      for (int64_t i = 0; i < heads * d; ++i) {
        token[at(i)] = x[at(((b * heads + i / d) * p.time + t) * d + i % d)];
      }
      tracked_vector const rows = oracle_prepare(p, query, token);
      for (int64_t i = 0; i < heads * d; ++i) {
        prepared[at(((b * heads + i / d) * p.time + t) * d + i % d)] = rows[at(i)];
      }
    }
  }
  return prepared;
}

/// The gradients of all prepared rows of one side become those of the rows themselves and of the parameters.
void unprepare_all(problem const& p, bool query, tracked_vector& grad, tracked_vector& grad_gamma,
                   tracked_vector& grad_beta) {
  std::vector<double> const& x = query ? p.q : p.k;
  int64_t const heads = query ? p.heads : p.kv_heads;
  int64_t const d = p.head_dim;
  grad_gamma.assign(at(heads * d), {});
  grad_beta.assign(at(heads * d), {});
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t t = 0; t < p.time; ++t) {
      std::vector<double> token(at(heads * d));
      tracked_vector token_grad(at(heads * d));
      for (int64_t i = 0; i < heads * d; ++i) {
        size_t const from = at(((b * heads + i / d) * p.time + t) * d + i % d);
        token[at(i)] = x[from];
        token_grad[at(i)] = grad[from];
      }
      oracle_prepare_backward(p, query, token, token_grad, grad_gamma, grad_beta);
      for (int64_t i = 0; i < heads * d; ++i) {
        grad[at(((b * heads + i / d) * p.time + t) * d + i % d)] = token_grad[at(i)];
      }
    }
  }
}

}  // namespace

forward_result oracle_forward(problem const& p) {
  int64_t const d = p.head_dim;
  int64_t const values = p.value_dim;
  tracked_vector const q = prepare_all(p, true);
  tracked_vector const k = prepare_all(p, false);
  std::vector<monomial> const phi = monomials_of(p.map, p.head_dim);
  int64_t const features = static_cast<int64_t>(phi.size());
  forward_result r;
  r.out.resize(at(p.batch * p.heads * p.time * values));
  r.denominator.resize(at(p.batch * p.heads * p.time));
  r.kv.assign(at(p.sequences() * p.kv_heads * features * values), {});
  r.k_sum.assign(at(p.sequences() * p.kv_heads * features), {});
  bool const starts = !p.initial_kv.empty();

  for (sequence const& s : sequences_of(p)) {
    for (int64_t h = 0; h < p.heads; ++h) {
      int64_t const g = p.kv_head_of(h);
      int64_t const rows = (s.row * p.heads + h) * p.time;
      int64_t const kv_rows = (s.row * p.kv_heads + g) * p.time;
      for (int64_t t = s.begin; t < s.end; ++t) {
        tracked const* const query = &q[at((rows + t) * d)];
        tracked_vector num(at(values));
        tracked den;
        for (int64_t j = s.begin; j < (p.causal ? t + 1 : s.end); ++j) {
          tracked const w = score(p.map, dot(query, &k[at((kv_rows + j) * d)], d));
          den += w;
          for (int64_t e = 0; e < values; ++e) {
            num[at(e)] += w * p.v[at((kv_rows + j) * values + e)];
          }
        }
        for (int64_t n = 0; starts && n < features; ++n) {
          int64_t const row = (s.index * p.kv_heads + g) * features + n;
          tracked const f = feature(phi[at(n)], query);
          den += f * (p.initial_k_sum.empty() ? 0.0 : p.initial_k_sum[at(row)]);
          for (int64_t e = 0; e < values; ++e) {
            num[at(e)] += f * p.initial_kv[at(row * values + e)];
          }
        }
        r.denominator[at(rows + t)] = den;
        for (int64_t e = 0; e < values; ++e) {
          r.out[at((rows + t) * values + e)] = p.normalized ? num[at(e)] / (den + p.eps) : num[at(e)];
        }
      }
    }
    for (int64_t row = s.index * p.kv_heads * features; row < (s.index + 1) * p.kv_heads * features; ++row) {
      int64_t const g = row / features % p.kv_heads;
      int64_t const kv_rows = (s.row * p.kv_heads + g) * p.time;
      if (starts) {
        r.k_sum[at(row)] = p.initial_k_sum.empty() ? 0.0 : p.initial_k_sum[at(row)];
        for (int64_t e = 0; e < values; ++e) {
          r.kv[at(row * values + e)] = p.initial_kv[at(row * values + e)];
        }
      }
      for (int64_t j = s.begin; j < s.end; ++j) {
        tracked const f = feature(phi[at(row % features)], &k[at((kv_rows + j) * d)]);
        r.k_sum[at(row)] += f;
        for (int64_t e = 0; e < values; ++e) {
          r.kv[at(row * values + e)] += f * p.v[at((kv_rows + j) * values + e)];
        }
      }
    }
  }
  return r;
}

backward_result oracle_backward(problem const& p, std::vector<double> const& saved_out) {
  int64_t const d = p.head_dim;
  int64_t const values = p.value_dim;
  forward_result const forward = oracle_forward(p);
  tracked_vector const q = prepare_all(p, true);
  tracked_vector const k = prepare_all(p, false);
  std::vector<monomial> const phi = monomials_of(p.map, p.head_dim);
  int64_t const features = static_cast<int64_t>(phi.size());
  backward_result r;
  r.grad_q.resize(p.q.size());
  r.grad_k.resize(p.k.size());
  r.grad_v.resize(p.v.size());
  r.grad_kv.assign(at(p.sequences() * p.kv_heads * features * values), {});
  r.grad_k_sum.assign(at(p.sequences() * p.kv_heads * features), {});

  for (sequence const& s : sequences_of(p)) {
    for (int64_t h = 0; h < p.heads; ++h) {
      int64_t const g = p.kv_head_of(h);
      int64_t const rows = (s.row * p.heads + h) * p.time;
      int64_t const kv_rows = (s.row * p.kv_heads + g) * p.time;
      for (int64_t t = s.begin; t < s.end; ++t) {
        tracked const* const query = &q[at((rows + t) * d)];
        tracked* const grad_query = &r.grad_q[at((rows + t) * d)];
        tracked_vector grad_num(at(values));
        tracked grad_den;
        for (int64_t e = 0; e < values; ++e) {
          size_t const i = at((rows + t) * values + e);
          tracked const den = p.normalized ? forward.denominator[at(rows + t)] + p.eps : tracked(1);
          tracked const out = saved_out.empty() ? forward.out[i] : tracked(saved_out[i], forward.out[i].magnitude);
          grad_num[at(e)] = p.grad_out[i] / den;
          if (p.normalized) {
            grad_den += -(p.grad_out[i] * out) / den;
          }
        }
        for (int64_t j = s.begin; j < (p.causal ? t + 1 : s.end); ++j) {
          tracked const* const key = &k[at((kv_rows + j) * d)];
          tracked const product = dot(query, key, d);
          tracked const w = score(p.map, product);
          tracked grad_w = grad_den;
          for (int64_t e = 0; e < values; ++e) {
            size_t const i = at((kv_rows + j) * values + e);
            grad_w += grad_num[at(e)] * p.v[i];
            r.grad_v[i] += w * grad_num[at(e)];
          }
          tracked const grad_s = grad_w * score_derivative(p.map, product);
          for (int64_t i = 0; i < d; ++i) {
            grad_query[i] += grad_s * key[i];
            r.grad_k[at((kv_rows + j) * d + i)] += grad_s * query[i];
          }
        }
        for (int64_t n = 0; n < features; ++n) {
          int64_t const row = (s.index * p.kv_heads + g) * features + n;
          tracked const f = feature(phi[at(n)], query);
          tracked grad_f = p.initial_k_sum.empty() ? tracked() : p.initial_k_sum[at(row)] * grad_den;
          r.grad_k_sum[at(row)] += f * grad_den;
          for (int64_t e = 0; e < values; ++e) {
            r.grad_kv[at(row * values + e)] += f * grad_num[at(e)];
            if (!p.initial_kv.empty()) {
              grad_f += p.initial_kv[at(row * values + e)] * grad_num[at(e)];
            }
          }
          if (!p.initial_kv.empty()) {
            feature_backward(phi[at(n)], query, grad_f, grad_query);
          }
        }
      }
    }
    for (int64_t row = s.index * p.kv_heads * features; row < (s.index + 1) * p.kv_heads * features; ++row) {
      if (p.grad_final_kv.empty()) {
        break;
      }
      int64_t const g = row / features % p.kv_heads;
      int64_t const kv_rows = (s.row * p.kv_heads + g) * p.time;
      double const grad_sum = p.grad_final_k_sum.empty() ? 0.0 : p.grad_final_k_sum[at(row)];
      r.grad_k_sum[at(row)] += grad_sum;
      for (int64_t e = 0; e < values; ++e) {
        r.grad_kv[at(row * values + e)] += p.grad_final_kv[at(row * values + e)];
      }
      for (int64_t j = s.begin; j < s.end; ++j) {
        tracked const* const key = &k[at((kv_rows + j) * d)];
        tracked const f = feature(phi[at(row % features)], key);
        tracked grad_f = grad_sum;
        for (int64_t e = 0; e < values; ++e) {
          size_t const i = at((kv_rows + j) * values + e);
          grad_f += p.grad_final_kv[at(row * values + e)] * p.v[i];
          r.grad_v[i] += p.grad_final_kv[at(row * values + e)] * f;
        }
        feature_backward(phi[at(row % features)], key, grad_f, &r.grad_k[at((kv_rows + j) * d)]);
      }
    }
  }
  unprepare_all(p, true, r.grad_q, r.grad_gamma_q, r.grad_beta_q);
  unprepare_all(p, false, r.grad_k, r.grad_gamma_k, r.grad_beta_k);
  return r;
}

}  // namespace linattn_test
