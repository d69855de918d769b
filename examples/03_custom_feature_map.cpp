// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Feature maps of one's own: one function is enough; its derivative makes it trainable; check_feature_map tests it.
#include <linattn/feature/laws.hpp>
#include <linattn/linattn.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

template <int HeadDim>
struct elu_plus_one : linattn::elementwise_map<HeadDim> {
  LINATTN_HOST_DEVICE void prepare(float* x, linattn::role, int /*head*/) const {
    for (int i = 0; i < HeadDim; ++i) { x[i] = x[i] > 0 ? x[i] + 1 : std::exp(x[i]); }
  }
};
static_assert(linattn::FeatureMap<elu_plus_one<64>>);

template <int HeadDim>
struct trainable_elu_plus_one : elu_plus_one<HeadDim> {
  static constexpr char const* name = "my elu_plus_one";  // for state files
  LINATTN_HOST_DEVICE void prepare_backward(float const* x, float* grad, linattn::role, int, float*) const {
    for (int i = 0; i < HeadDim; ++i) { grad[i] = x[i] > 0 ? grad[i] : grad[i] * std::exp(x[i]); }
  }
};
static_assert(linattn::DifferentiableFeatureMap<trainable_elu_plus_one<64>>);

namespace example {  // named, so that `time` is not the C library's

template <class Map>
struct mistaken : Map {
  void prepare_backward(float const*, float*, linattn::role, int, float*) const {}
};

constexpr int time = 300, head_dim = 16, value_dim = 8;

template <class Map, class Strategy>
std::vector<float> run(std::vector<float> const& x, std::vector<float> const& v) {
  std::vector<float> out(v.size());
  linattn::forward(linattn::cpu_executor{}, linattn::attention<Map, Strategy>{},
                   {.q = linattn::view_bthd(x.data(), 1, time, 1, head_dim),
                    .k = linattn::view_bthd(x.data(), 1, time, 1, head_dim),
                    .v = linattn::view_bthd(v.data(), 1, time, 1, value_dim),
                    .out = linattn::view_bthd(out.data(), 1, time, 1, value_dim)});
  return out;
}

float largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) { largest = std::max(largest, std::abs(a[i] - b[i])); }
  return largest;
}

int run_example() {
  linattn::diagnostic const right = linattn::check_feature_map(trainable_elu_plus_one<head_dim>{});
  linattn::diagnostic const wrong = linattn::check_feature_map(mistaken<elu_plus_one<head_dim>>{});
  std::printf("the right map: %s\nthe mistaken one: %s\n", right.ok() ? "ok" : right.message(), wrong.message());

  std::vector<float> x(time * head_dim), v(time * value_dim);
  for (std::size_t i = 0; i < x.size(); ++i) { x[i] = std::sin(static_cast<float>(i) * 0.7F); }
  for (std::size_t i = 0; i < v.size(); ++i) { v[i] = std::cos(static_cast<float>(i) * 0.3F); }

  // The same map in every strategy, and beside the library's own.
  std::vector<float> const expected = run<linattn::elu_plus_one<head_dim>, linattn::parallel>(x, v);
  float const difference =
      std::max({largest_difference(run<elu_plus_one<head_dim>, linattn::parallel>(x, v), expected),
                largest_difference(run<elu_plus_one<head_dim>, linattn::chunkwise<>>(x, v), expected),
                largest_difference(run<elu_plus_one<head_dim>, linattn::recurrent>(x, v), expected)});
  std::printf("largest difference from the library's map: %.1e\n", static_cast<double>(difference));
  return right.ok() && !wrong.ok() && difference < 1e-5F ? 0 : 1;
}

}  // namespace example

int main() { return example::run_example(); }
