// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The greedy construction: each row takes the best of several random candidates, completed axis by axis so as to meet the
// most pairs that are still open.
#include "support/covering.hpp"

#include "support/random.hpp"

#include <cstddef>
#include <numeric>
#include <utility>

namespace linattn_test {
namespace {

using std::size_t;

/// Which pairs of (axis, value) have not met yet.
class open_pairs {
 public:
  explicit open_pairs(std::vector<int> const& sizes) {
    for (int size : sizes) {
      begin_.push_back(values_);
      values_ += static_cast<size_t>(size);
    }
    open_.assign(values_ * values_, char{0});
    for (size_t a = 0; a < sizes.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        for (int x = 0; x < sizes[a]; ++x) {
          for (int y = 0; y < sizes[b]; ++y) {
            open_[index(a, x, b, y)] = 1;
            ++count_;
          }
        }
      }
    }
  }
  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] bool open(size_t a, int x, size_t b, int y) const { return open_[index(a, x, b, y)] != 0; }

  void close(std::vector<int> const& row) {
    for (size_t a = 0; a < row.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        char& pair = open_[index(a, row[a], b, row[b])];
        count_ -= static_cast<size_t>(pair);
        pair = 0;
      }
    }
  }
  /// An open pair, so that every row closes one at least.
  [[nodiscard]] bool first(size_t axes, std::vector<int> const& sizes, std::vector<int>& row) const {
    for (size_t a = 0; a < axes; ++a) {
      for (size_t b = 0; b < a; ++b) {
        for (int x = 0; x < sizes[a]; ++x) {
          for (int y = 0; y < sizes[b]; ++y) {
            if (open(a, x, b, y)) {
              row[a] = x;
              row[b] = y;
              return true;
            }
          }
        }
      }
    }
    return false;
  }

 private:
  [[nodiscard]] size_t index(size_t a, int x, size_t b, int y) const {
    size_t const first = begin_[a] + static_cast<size_t>(x);
    size_t const second = begin_[b] + static_cast<size_t>(y);
    return first > second ? first * values_ + second : second * values_ + first;
  }
  std::vector<size_t> begin_;
  size_t values_ = 0;
  size_t count_ = 0;
  std::vector<char> open_;
};

/// Fills the axes that are -1, in a random order, and returns how many open pairs the row meets.
size_t complete(open_pairs const& pairs, std::vector<int> const& sizes, std::vector<int>& row, random_source& source) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[source.below(i)]);
  }
  for (size_t a : order) {
    if (row[a] >= 0) {
      continue;
    }
    int best = -1;
    size_t most = 0;
    size_t const start = source.below(static_cast<size_t>(sizes[a]));
    for (int i = 0; i < sizes[a]; ++i) {
      int const x = static_cast<int>((start + static_cast<size_t>(i)) % static_cast<size_t>(sizes[a]));
      size_t met = 0;
      for (size_t b = 0; b < row.size(); ++b) {
        met += b != a && row[b] >= 0 && pairs.open(a, x, b, row[b]) ? 1U : 0U;
      }
      if (best < 0 || met > most) {
        best = x;
        most = met;
      }
    }
    row[a] = best;
  }
  size_t met = 0;
  for (size_t a = 0; a < row.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      met += pairs.open(a, row[a], b, row[b]) ? 1U : 0U;
    }
  }
  return met;
}

}  // namespace

std::vector<std::vector<int>> covering_rows(std::vector<int> const& sizes, std::uint64_t seed) {
  open_pairs pairs(sizes);
  random_source source(seed);
  std::vector<std::vector<int>> rows;
  std::vector<int> seed_row(sizes.size(), -1);
  while (pairs.first(sizes.size(), sizes, seed_row)) {
    std::vector<int> best;
    size_t most = 0;
    for (int candidate = 0; candidate < 8; ++candidate) {
      std::vector<int> row = seed_row;
      size_t const met = complete(pairs, sizes, row, source);
      if (best.empty() || met > most) {
        most = met;
        best = std::move(row);
      }
    }
    pairs.close(best);
    rows.push_back(std::move(best));
    seed_row.assign(sizes.size(), -1);
  }
  return rows;
}

}  // namespace linattn_test
