// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// dense.hpp: one register tile for all products. The models' matrices are thin (some hundred rows, 64 to 512 columns),
// so the right factor is read where it lies, and packed only where its columns do not fill the tile or run along rows.
// Products of a few rows, a decoding step's, go through Eigen.
#include "dense.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cstring>

#include "buffer.hpp"

namespace example {
namespace {

// The compiler's own vectors. A tile's sums, a row of the right factor and one broadcast fill the registers.
#ifdef __AVX512F__
constexpr std::size_t kLanes = 16;
constexpr std::size_t kVectors = 4;
#else
constexpr std::size_t kLanes = 8;
constexpr std::size_t kVectors = 2;
#endif
constexpr std::size_t kTileRows = 6;
constexpr int kTileColumns = static_cast<int>(kLanes * kVectors);
constexpr int kFewRows = 12;

using vector = float __attribute__((vector_size(kLanes * sizeof(float))));

// Arrays of floats lie at any address. (A type of vectors with a smaller alignment is not the same to g++ and clang++.)
void load(float const* from, vector& to) { std::memcpy(&to, from, sizeof to); }
void store(vector const& from, float* to) { std::memcpy(to, &from, sizeof from); }

/// A factor whose element (row, column) is data[row * row_step + column * column_step].
struct factor {
  float const* data;
  long row_step, column_step;
};

/// out (Rows, columns) = or += left (Rows, depth) * panel (depth, kTileColumns), of which `columns` are wanted.
template <std::size_t Rows>
void multiply_tile(factor left, factor panel, int depth, float* out, long out_step, int columns, bool add) {
  vector sums[Rows][kVectors] = {};
  for (int k = 0; k < depth; ++k) {
    vector row[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      load(panel.data + k * panel.row_step + static_cast<long>(v * kLanes), row[v]);
    }
    for (std::size_t r = 0; r < Rows; ++r) {
      float const weight = left.data[static_cast<long>(r) * left.row_step + k * left.column_step];
      for (std::size_t v = 0; v < kVectors; ++v) {
        sums[r][v] += weight * row[v];
      }
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    float* const to = out + static_cast<long>(r) * out_step;
    if (columns == kTileColumns) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        vector before = {};
        if (add) {
          load(to + v * kLanes, before);
        }
        store(before + sums[r][v], to + v * kLanes);
      }
      continue;
    }
    for (int c = 0; c < columns; ++c) {
      auto const at = static_cast<std::size_t>(c);
      to[c] = (add ? to[c] : 0) + sums[r][at / kLanes][at % kLanes];
    }
  }
}

template <std::size_t Rows>
void multiply_rows(int rows, factor left, factor panel, int depth, float* out, long out_step, int columns, bool add) {
  if constexpr (Rows > 0) {
    if (rows == static_cast<int>(Rows)) {
      multiply_tile<Rows>(left, panel, depth, out, out_step, columns, add);
    } else {
      multiply_rows<Rows - 1>(rows, left, panel, depth, out, out_step, columns, add);
    }
  }
}

/// The factor's columns first .. first + kTileColumns - 1, zeros where it has none.
void pack(factor right, int depth, int first, int columns, buffer& panel) {
  panel.assign(static_cast<std::size_t>(depth) * kTileColumns, 0);
  for (int k = 0; k < depth; ++k) {
    for (int c = 0; c < columns; ++c) {
      panel[static_cast<std::size_t>(k * kTileColumns + c)] =
          right.data[k * right.row_step + (first + c) * right.column_step];
    }
  }
}

void multiply_factors(factor left, factor right, int depth, matrix out, bool add) {
  thread_local buffer packed;
  for (int first = 0; first < out.columns; first += kTileColumns) {
    int const columns = std::min(kTileColumns, out.columns - first);
    factor panel{right.data + first, right.row_step, 1};
    if (columns < kTileColumns || right.column_step != 1) {
      pack(right, depth, first, columns, packed);
      panel = {packed.data(), kTileColumns, 1};
    }
    for (int row = 0; row < out.rows; row += static_cast<int>(kTileRows)) {
      factor const rows{left.data + row * left.row_step, left.row_step, left.column_step};
      multiply_rows<kTileRows>(std::min(static_cast<int>(kTileRows), out.rows - row), rows, panel, depth,
                               out.data + static_cast<long>(row) * out.columns + first, out.columns, columns, add);
    }
  }
}

factor rows_of(const_matrix m) { return {m.data, m.columns, 1}; }
factor columns_of(const_matrix m) { return {m.data, 1, m.columns}; }

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<row_major const> map(const_matrix m) { return {m.data, m.rows, m.columns}; }
Eigen::Map<row_major> map(matrix m) { return {m.data, m.rows, m.columns}; }

}  // namespace

void multiply(const_matrix left, const_matrix right, matrix out) {
  if (out.rows < kFewRows) {
    map(out).noalias() = map(left) * map(right);
  } else {
    multiply_factors(rows_of(left), rows_of(right), left.columns, out, /*add=*/false);
  }
}

void add_product(const_matrix left, const_matrix right, matrix out) {
  if (out.rows < kFewRows) {
    map(out).noalias() += map(left) * map(right);
  } else {
    multiply_factors(rows_of(left), rows_of(right), left.columns, out, /*add=*/true);
  }
}

void multiply_by_transpose(const_matrix left, const_matrix right, matrix out) {
  if (out.rows < kFewRows) {
    map(out).noalias() = map(left) * map(right).transpose();
  } else {
    multiply_factors(rows_of(left), columns_of(right), left.columns, out, /*add=*/false);
  }
}

void add_transposed_product(const_matrix left, const_matrix right, matrix out) {
  multiply_factors(columns_of(left), rows_of(right), left.rows, out, /*add=*/true);
}

void add_column_sums(const_matrix in, float* out) {
  for (int row = 0; row < in.rows; ++row) {
    float const* values = in.data + static_cast<long>(row) * in.columns;
    for (int c = 0; c < in.columns; ++c) {
      out[c] += values[c];
    }
  }
}

}  // namespace example
