// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A problem to time on a GPU: several sets of random bf16 tensors in (batch, time, head, channel) order, so many that
// inputs come from memory and not from the L2 cache; and a check of one head against the CPU engine in float.
#ifndef LINATTN_BENCHMARKS_CUDA_PROBLEM_CUH
#define LINATTN_BENCHMARKS_CUDA_PROBLEM_CUH

#include "ceiling.cuh"

#include <linattn/cuda.cuh>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace linattn_benchmark {

struct shape {
  int batch, heads, time, value_dim;
  [[nodiscard]] std::int64_t rows() const { return std::int64_t{batch} * heads * time; }
};

template <class Attention>
class problem {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using exact = linattn::attention<map, typename Attention::strategy_type, typename Attention::normalizer_type, float>;

  problem(shape s, std::size_t cache_bytes) : shape_(s) {
    std::size_t const width = 2 * map::head_dim + 2 * static_cast<std::size_t>(s.value_dim);
    set_elements_ = static_cast<std::size_t>(s.rows()) * width;
    std::size_t const bytes = set_elements_ * sizeof(element);
    sets_ = static_cast<int>(std::min<std::size_t>(64, 2 + 2 * cache_bytes / bytes));
    check(cudaMalloc(&memory_, bytes * static_cast<std::size_t>(sets_)), "cudaMalloc");
    std::vector<element> numbers(set_elements_);
    std::mt19937 bits(42);
    std::normal_distribution<float> normal;
    for (element& x : numbers) {
      x = element(normal(bits));
    }
    for (int i = 0; i < sets_; ++i) {
      check(cudaMemcpy(memory_ + static_cast<std::size_t>(i) * set_elements_, numbers.data(), bytes,
                       cudaMemcpyHostToDevice), "cudaMemcpy");
    }
  }
  ~problem() { static_cast<void>(cudaFree(memory_)); }
  problem(problem const&) = delete;
  problem& operator=(problem const&) = delete;

  /// The arguments of set number `run`, round and round.
  [[nodiscard]] typename Attention::forward_args arguments(int run) const {
    element* const q = memory_ + static_cast<std::size_t>(run % sets_) * set_elements_;
    element* const k = q + shape_.rows() * map::head_dim;
    element* const v = k + shape_.rows() * map::head_dim;
    auto const& s = shape_;
    return {.q = linattn::view_bthd<element const>(q, s.batch, s.time, s.heads, map::head_dim),
            .k = linattn::view_bthd<element const>(k, s.batch, s.time, s.heads, map::head_dim),
            .v = linattn::view_bthd<element const>(v, s.batch, s.time, s.heads, s.value_dim),
            .out = linattn::view_bthd(v + s.rows() * s.value_dim, s.batch, s.time, s.heads, s.value_dim)};
  }

  /// Relative L2 difference of the last head of the last batch in set 0 to the CPU engine on the same numbers.
  [[nodiscard]] double error() const {
    std::vector<element> numbers(set_elements_);
    check(cudaMemcpy(numbers.data(), memory_, set_elements_ * sizeof(element), cudaMemcpyDeviceToHost), "cudaMemcpy");
    auto const one_head = [&](std::int64_t begin, int channels) {
      std::vector<float> head;
      for (std::int64_t t = 0; t < shape_.time; ++t) {
        std::int64_t const row = (shape_.batch - 1) * std::int64_t{shape_.time} + t;
        std::int64_t const first = begin + (row * shape_.heads + shape_.heads - 1) * channels;
        for (int c = 0; c < channels; ++c) {
          head.push_back(static_cast<float>(numbers[static_cast<std::size_t>(first + c)]));
        }
      }
      return head;
    };
    std::int64_t const qk = shape_.rows() * map::head_dim;
    std::vector<float> const q = one_head(0, map::head_dim);
    std::vector<float> const k = one_head(qk, map::head_dim);
    std::vector<float> const v = one_head(2 * qk, shape_.value_dim);
    std::vector<float> const got = one_head(2 * qk + shape_.rows() * shape_.value_dim, shape_.value_dim);
    std::vector<float> want(got.size());
    linattn::forward(linattn::cpu_executor{}, exact{},
                     {.q = linattn::view_bthd(q.data(), 1, shape_.time, 1, map::head_dim),
                      .k = linattn::view_bthd(k.data(), 1, shape_.time, 1, map::head_dim),
                      .v = linattn::view_bthd(v.data(), 1, shape_.time, 1, shape_.value_dim),
                      .out = linattn::view_bthd(want.data(), 1, shape_.time, 1, shape_.value_dim)});
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
      size += std::pow(static_cast<double>(want[i]), 2);
    }
    return std::sqrt(difference / size);
  }

 private:
  shape shape_;
  std::size_t set_elements_ = 0;
  int sets_ = 1;
  element* memory_ = nullptr;
};

}  // namespace linattn_benchmark

#endif
