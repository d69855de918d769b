// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// dense.hpp: each call is one expression of Eigen's.
#include "dense.hpp"

#include <Eigen/Core>

namespace example {
namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<row_major const> map(const_matrix m) { return {m.data, m.rows, m.columns}; }
Eigen::Map<row_major> map(matrix m) { return {m.data, m.rows, m.columns}; }

}  // namespace

void multiply(const_matrix left, const_matrix right, matrix out) { map(out).noalias() = map(left) * map(right); }

void add_product(const_matrix left, const_matrix right, matrix out) { map(out).noalias() += map(left) * map(right); }

void multiply_by_transpose(const_matrix left, const_matrix right, matrix out) {
  map(out).noalias() = map(left) * map(right).transpose();
}

void add_transposed_product(const_matrix left, const_matrix right, matrix out) {
  map(out).noalias() += map(left).transpose() * map(right);
}

void add_column_sums(const_matrix in, float* out) {
  Eigen::Map<Eigen::RowVectorXf>(out, in.columns) += map(in).colwise().sum();
}

}  // namespace example
