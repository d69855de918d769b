// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A problem to time on a GPU: several sets of random bf16 tensors in (batch, time, head, channel) order, so many that
// inputs come from memory and not from the L2 cache; and a check of one head against the CPU engine in float.
#ifndef LINATTN_BENCHMARKS_CUDA_PROBLEM_CUH
#define LINATTN_BENCHMARKS_CUDA_PROBLEM_CUH

#include "ceiling.cuh"

#include <linattn/cuda.cuh>

#include <algorithm>
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

/// How many tensors of a set there are, in the order of problem's `tensor`.
enum class tensors { of_forward = 4, of_training = 8 };

template <class Attention>
class problem {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using exact = linattn::attention<map, typename Attention::strategy_type, typename Attention::normalizer_type, float>;

  problem(shape s, std::size_t cache_bytes, tensors count) : shape_(s), training_(count == tensors::of_training) {
    set_elements_ = static_cast<std::size_t>(begin(static_cast<tensor>(count)));
    std::size_t const bytes = set_elements_ * sizeof(element);
    sets_ = static_cast<int>(std::min<std::size_t>(64, 2 + 2 * cache_bytes / bytes));
    check(cudaMalloc(&memory_, bytes * static_cast<std::size_t>(sets_)), "cudaMalloc");
    check(cudaMalloc(&denominators_, static_cast<std::size_t>(s.rows()) * sizeof(float)), "cudaMalloc");
    // A prime number of them, over and over: rows differ, and the host is done soon.
    std::vector<element> sample(1048573);
    std::mt19937 bits(42);
    std::normal_distribution<float> normal;
    for (element& x : sample) {
      x = element(normal(bits));
    }
    std::vector<element> numbers(set_elements_);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = sample[i % sample.size()];
    }
    for (int i = 0; i < sets_; ++i) {
      check(cudaMemcpy(memory_ + static_cast<std::size_t>(i) * set_elements_, numbers.data(), bytes,
                       cudaMemcpyHostToDevice),
            "cudaMemcpy");
    }
  }
  ~problem() {
    static_cast<void>(cudaFree(memory_));
    static_cast<void>(cudaFree(denominators_));
  }
  problem(problem const&) = delete;
  problem& operator=(problem const&) = delete;

  /// The arguments of set number `run`, round and round. For a training the denominators are saved too.
  /// Other: an attention in another strategy.
  template <class Other = Attention>
  [[nodiscard]] typename Other::forward_args arguments(int run) const {
    typename Other::forward_args args{.q = view(run, q), .k = view(run, k), .v = view(run, v), .out = view(run, out)};
    if (training_) {
      args.denominator = denominators();
    }
    return args;
  }
  template <class Other = Attention>
  [[nodiscard]] typename Other::backward_args gradient_arguments(int run) const {
    return {.q = view(run, q),
            .k = view(run, k),
            .v = view(run, v),
            .out = view(run, out),
            .denominator = denominators(),
            .grad_out = view(run, grad_out),
            .grad_q = view(run, grad_q),
            .grad_k = view(run, grad_k),
            .grad_v = view(run, grad_v)};
  }
  /// One token of each sequence.
  [[nodiscard]] typename Attention::step_args token_arguments(int run, int time) const {
    auto const token = [&](tensor x) {
      linattn::tensor_view<element, 4> one = view(run, x);
      one.data += time * one.strides[2];
      one.extents[2] = 1;
      return one;
    };
    return {.q = token(q), .k = token(k), .v = token(v), .out = token(out)};
  }

  /// Relative L2 difference of the last head of the last batch in set 0 to the CPU engine on the same numbers.
  [[nodiscard]] double error() const {
    one_head const head(*this);
    if (wanted_[0].empty()) {
      wanted_[0].resize(head.of(out).size());
      linattn::forward(linattn::cpu_executor{}, exact{},
                       {.q = head.view(q), .k = head.view(k), .v = head.view(v), .out = head.view(out, wanted_[0])});
    }
    return difference(head.of(out), wanted_[0]);
  }
  /// The largest of the three gradients'.
  [[nodiscard]] double gradient_error() const {
    one_head const head(*this);
    auto& [unused, by_q, by_k, by_v] = wanted_;
    if (by_q.empty()) {
      by_q.resize(head.of(q).size());
      by_k.resize(head.of(k).size());
      by_v.resize(head.of(v).size());
      linattn::backward(linattn::cpu_executor{}, exact{},
                        {.q = head.view(q),
                         .k = head.view(k),
                         .v = head.view(v),
                         .grad_out = head.view(grad_out),
                         .grad_q = head.view(grad_q, by_q),
                         .grad_k = head.view(grad_k, by_k),
                         .grad_v = head.view(grad_v, by_v)});
    }
    return std::max(
        {difference(head.of(grad_q), by_q), difference(head.of(grad_k), by_k), difference(head.of(grad_v), by_v)});
  }

 private:
  /// The order of a set's tensors in memory.
  enum tensor { q, k, v, out, grad_out, grad_q, grad_k, grad_v };

  [[nodiscard]] int channels(tensor x) const {
    return x == q || x == k || x == grad_q || x == grad_k ? map::head_dim : shape_.value_dim;
  }
  [[nodiscard]] std::int64_t begin(tensor x) const {
    std::int64_t elements = 0;
    for (int before = 0; before < x; ++before) {
      elements += shape_.rows() * channels(static_cast<tensor>(before));
    }
    return elements;
  }
  [[nodiscard]] linattn::tensor_view<element, 4> view(int run, tensor x) const {
    element* const set = memory_ + static_cast<std::size_t>(run % sets_) * set_elements_;
    return linattn::view_bthd(set + begin(x), shape_.batch, shape_.time, shape_.heads, channels(x));
  }
  [[nodiscard]] linattn::tensor_view<float, 3> denominators() const {
    return linattn::view_bht(denominators_, shape_.batch, shape_.heads, shape_.time);
  }

  /// The last head of the last batch in set 0, on the host.
  class one_head {
   public:
    explicit one_head(problem const& p) : p_(p), numbers_(p.set_elements_) {
      check(cudaMemcpy(numbers_.data(), p.memory_, numbers_.size() * sizeof(element), cudaMemcpyDeviceToHost),
            "cudaMemcpy");
      for (tensor x : {q, k, v, out, grad_out, grad_q, grad_k, grad_v}) {
        if (x <= out || p.training_) {
          copy(x);
        }
      }
    }
    [[nodiscard]] std::vector<float> const& of(tensor x) const { return heads_[x]; }
    [[nodiscard]] linattn::tensor_view<float const, 4> view(tensor x) const {
      return linattn::view_bthd(heads_[x].data(), 1, p_.shape_.time, 1, p_.channels(x));
    }
    [[nodiscard]] linattn::tensor_view<float, 4> view(tensor x, std::vector<float>& other) const {
      return linattn::view_bthd(other.data(), 1, p_.shape_.time, 1, p_.channels(x));
    }

   private:
    void copy(tensor x) {
      shape const& s = p_.shape_;
      for (std::int64_t t = 0; t < s.time; ++t) {
        std::int64_t const row = (s.batch - 1) * std::int64_t{s.time} + t;
        std::int64_t const first = p_.begin(x) + (row * s.heads + s.heads - 1) * p_.channels(x);
        for (int c = 0; c < p_.channels(x); ++c) {
          heads_[x].push_back(static_cast<float>(numbers_[static_cast<std::size_t>(first + c)]));
        }
      }
    }
    problem const& p_;
    std::vector<element> numbers_;
    std::vector<float> heads_[8];
  };

  static double difference(std::vector<float> const& got, std::vector<float> const& want) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
      size += std::pow(static_cast<double>(want[i]), 2);
    }
    return std::sqrt(difference / size);
  }

  shape shape_;
  bool training_;
  std::size_t set_elements_ = 0;
  int sets_ = 1;
  element* memory_ = nullptr;
  float* denominators_ = nullptr;
  mutable std::vector<float> wanted_[4];  // out, and the gradients by q, k and v; once they were asked for
};

}  // namespace linattn_benchmark

#endif
