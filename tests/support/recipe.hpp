// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// recipe: what the oracle needs to know of a map, as plain numbers written from the formulas. It names no type of
// linattn and calls none of its hooks.
#ifndef LINATTN_TESTS_SUPPORT_RECIPE_HPP
#define LINATTN_TESTS_SUPPORT_RECIPE_HPP

namespace linattn_test {

/// What happens to a row before the inner product. The first four also multiply it by head_dim^(-1/4).
enum class preparation {
  scaled,                // x
  affine,                // gamma x + beta
  layer_norm,            // gamma LN(x) + beta, LN over the row of a head
  layer_norm_all_heads,  // gamma LN(x) + beta, LN over the rows of all heads of a token
  as_is,                 // x
  elu_plus_one,          // x + 1 where x > 0, exp(x) elsewhere
  cos_sin                // pairs (cos, sin) of the coordinates at even positions
};

/// Which learnable parameters a variant has, and of which shape.
struct parameter_plan {
  bool gamma = false;
  bool beta = false;
  int rank = 1;         // 1: (head_dim), 2: (heads, head_dim)
  bool shared = false;  // q and k have the same views
};

/// score(s) = sum_p coefficients[p] s^p. The features of the state are the monomials of the score: the constant, the
/// coordinates, the products i <= j row by row; those of a cubic are all d^3 products.
struct recipe {
  char const* name;
  preparation prepare = preparation::scaled;
  double coefficients[4] = {0, 0, 0, 0};
  parameter_plan parameters{};
  bool float_only = false;      // hooks for float alone: no double elements
  bool differentiable = true;
};

}  // namespace linattn_test

#endif
