// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dense products of row-major float matrices, through Eigen. Not a matrix library: five calls, contiguous memory, one
// thread; whoever includes this header does not include Eigen.
#pragma once

namespace example {

/// A contiguous row-major matrix that someone else owns.
template <class T>
struct matrix_view {
  T* data;
  int rows, columns;

  operator matrix_view<T const>() const { return {data, rows, columns}; }
};

using const_matrix = matrix_view<float const>;
using matrix = matrix_view<float>;

void multiply(const_matrix left, const_matrix right, matrix out);                // out  = left right
void add_product(const_matrix left, const_matrix right, matrix out);             // out += left right
void multiply_by_transpose(const_matrix left, const_matrix right, matrix out);   // out  = left right^T
void add_transposed_product(const_matrix left, const_matrix right, matrix out);  // out += left^T right
void add_column_sums(const_matrix in, float* out);                               // out[c] += sum over rows of in[., c]

}  // namespace example
