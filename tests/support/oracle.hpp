// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The oracle: every variant by the O(T^2) definition, forward and backward, in double, with the magnitude of each result
// (see tracked.hpp). Dumb on purpose: nested loops over the formulas, none of linattn's hooks, tensors as flat vectors.
#ifndef LINATTN_TESTS_SUPPORT_ORACLE_HPP
#define LINATTN_TESTS_SUPPORT_ORACLE_HPP

#include "support/recipe.hpp"
#include "support/tracked.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {

/// A problem as the formulas see it. Numbers are those that the library gets, after rounding to its element type.
struct problem {
  recipe map{};
  int head_dim = 1;
  std::int64_t batch = 1, heads = 1, kv_heads = 1, time = 1, value_dim = 1;
  bool causal = true;
  bool tiled = false;         // query head h reads key head h % kv_heads instead of h / (heads / kv_heads)
  bool normalized = true;     // out = num / (den + eps), else out = num
  double eps = 1e-6;
  double layer_norm_eps = 1e-5;
  std::vector<std::int64_t> offsets;  // empty: each batch row is a sequence; else packed sequences in batch row 0

  std::vector<double> q, k, v;                              // (B,H,T,d) (B,G,T,d) (B,G,T,V)
  std::vector<double> gamma_q, beta_q, gamma_k, beta_k;     // (H,d) (H,d) (G,d) (G,d), rank-1 parameters repeated
  std::vector<double> initial_kv, initial_k_sum;            // (N,G,D,V) (N,G,D), or empty
  std::vector<double> grad_out;                             // (B,H,T,V), for backward
  std::vector<double> grad_final_kv, grad_final_k_sum;      // (N,G,D,V) (N,G,D), or empty

  [[nodiscard]] std::int64_t sequences() const {
    return offsets.empty() ? batch : static_cast<std::int64_t>(offsets.size()) - 1;
  }
  [[nodiscard]] std::int64_t kv_head_of(std::int64_t head) const {
    return tiled ? head % kv_heads : head / (heads / kv_heads);
  }
};

/// One feature of a map: coefficient * product of the coordinates.
struct monomial {
  double coefficient;
  std::vector<int> coordinates;
};
std::vector<monomial> monomials_of(recipe const& map, int head_dim);
std::size_t feature_count(recipe const& map, int head_dim);

struct forward_result {
  tracked_vector out;               // (B,H,T,V)
  tracked_vector denominator;       // (B,H,T)
  tracked_vector kv, k_sum;         // final state, (N,G,D,V) (N,G,D)
};

struct backward_result {
  tracked_vector grad_q, grad_k, grad_v;
  tracked_vector grad_gamma_q, grad_beta_q, grad_gamma_k, grad_beta_k;  // (H,d) (H,d) (G,d) (G,d)
  tracked_vector grad_kv, grad_k_sum;                                   // of the initial state
};

forward_result oracle_forward(problem const& p);

/// `saved_out`, if not empty, is what backward() is told that forward() returned: rounded to the element type.
backward_result oracle_backward(problem const& p, std::vector<double> const& saved_out = {});

/// The prepared rows of all heads of one token, and the gradient of the rows before preparation. x (heads, head_dim);
/// grad is replaced; grad_gamma and grad_beta accumulate.
tracked_vector oracle_prepare(problem const& p, bool query, std::vector<double> const& x);
void oracle_prepare_backward(problem const& p, bool query, std::vector<double> const& x, tracked_vector& grad,
                             tracked_vector& grad_gamma, tracked_vector& grad_beta);

}  // namespace linattn_test

#endif
