// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A row of a batch by itself: what it must not notice of the others.
#ifndef LINATTN_TESTS_CUDA_PARTS_HPP
#define LINATTN_TESTS_CUDA_PARTS_HPP

#include "support/oracle.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {

/// Row `row` of a dense tensor of `rows` rows.
inline std::vector<double> row_of(std::vector<double> const& dense, std::int64_t rows, std::int64_t row) {
  auto const size = static_cast<std::ptrdiff_t>(dense.size()) / rows;
  return {dense.begin() + row * size, dense.begin() + (row + 1) * size};
}

/// The tokens of packed sequence n; of one head.
inline std::vector<double> sequence_of(std::vector<double> const& dense, problem const& p, std::size_t n) {
  std::int64_t const width = static_cast<std::int64_t>(dense.size()) / p.time;
  return {dense.begin() + p.offsets[n] * width, dense.begin() + p.offsets[n + 1] * width};
}

/// The first `count` tokens of `time`; of one head.
inline std::vector<double> first_of(std::vector<double> const& dense, std::int64_t time, std::int64_t count) {
  return {dense.begin(), dense.begin() + static_cast<std::int64_t>(dense.size()) / time * count};
}

/// The first `count` tokens of a problem of one head and no states.
inline problem first_tokens(problem const& p, std::int64_t count) {
  problem one = p;
  one.time = count;
  for (std::vector<double> problem::*const tensor : {&problem::q, &problem::k, &problem::v, &problem::grad_out}) {
    one.*tensor = first_of(p.*tensor, p.time, count);
  }
  return one;
}

/// Packed sequence n of a problem of one head, alone; it has no states.
inline problem packed_sequence(problem const& p, std::size_t n) {
  problem one = p;
  one.time = p.offsets[n + 1] - p.offsets[n];
  one.offsets = {0, one.time};
  for (std::vector<double> problem::*const tensor : {&problem::q, &problem::k, &problem::v, &problem::grad_out}) {
    one.*tensor = sequence_of(p.*tensor, p, n);
  }
  return one;
}

/// Batch row `row` of a problem whose rows are sequences; what the problem leaves empty stays empty.
inline problem batch_row(problem const& p, std::int64_t row) {
  problem one = p;
  one.batch = 1;
  for (std::vector<double> problem::*const tensor :
       {&problem::q, &problem::k, &problem::v, &problem::initial_kv, &problem::initial_k_sum, &problem::grad_out,
        &problem::grad_final_kv, &problem::grad_final_k_sum}) {
    one.*tensor = row_of(p.*tensor, p.batch, row);
  }
  return one;
}

}  // namespace linattn_test

#endif
