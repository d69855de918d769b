// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The language model of examples/ with its attentions on a cuda_executor: it learns and decodes as on the CPU.
#include "device.hpp"
#include "on_cuda.hpp"
#include "support/adamw.hpp"
#include "support/attention_kernel.hpp"
#include "support/linattn_kernel.hpp"
#include "support/model.hpp"

#include <linattn/linattn.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace linattn_test {
namespace {

/// A copy of a host array in the device's memory.
class device_copy {
 public:
  device_copy(float const* host, std::size_t size) : device_copy(size) {
    device::copy_to_device(data, host, bytes_);
    device::mark_initialised(data, bytes_);
  }
  device_copy(device_copy const&) = delete;
  device_copy& operator=(device_copy const&) = delete;
  ~device_copy() { device::release(data); }

  float* data;

 protected:
  explicit device_copy(std::size_t size)
      : data(static_cast<float*>(device::allocate(size * sizeof(float)))), bytes_(size * sizeof(float)) {}
  void copy_back(float* host) const { device::copy_to_host(host, data, bytes_); }

 private:
  std::size_t bytes_;
};

/// A Device of linattn_kernel.hpp.
struct on_device {
  struct input : device_copy {
    input(float const* host, std::size_t size) : device_copy(host, size) { device::mark_readonly(data); }
  };
  struct output : device_copy {
    output(float* host, std::size_t size) : device_copy(size), to(host) {}
    ~output() { copy_back(to); }
    float* to;
  };
  struct sum : device_copy {
    sum(float* host, std::size_t size) : device_copy(host, size), to(host) {}
    ~sum() { copy_back(to); }
    float* to;
  };
  template <class Map>
  struct state {
    state(int batch, int heads, int value_dim)
        : zeros(static_cast<std::size_t>(batch * heads * Map::feature_dim * (value_dim + 1)), 0.0F),
          numbers(zeros.data(), zeros.size()),
          shape{batch, heads, value_dim} {}
    linattn::state_view<Map> view() const {
      float* const k_sum = numbers.data + shape[0] * shape[1] * Map::feature_dim * shape[2];
      return linattn::view_state<Map>(numbers.data, k_sum, shape[0], shape[1], shape[2]);
    }
    std::vector<float> zeros;
    device_copy numbers;
    int shape[3];
  };

  static linattn::cuda_executor<precise_pieces> executor() { return {}; }
};

std::unique_ptr<example::attention_kernel> make_on_device(std::string_view /*name*/, example::attention_shape shape) {
  using map = linattn::rebased<example::attention_shape::head_dim>;
  return std::make_unique<
      example::linattn_kernel<map, example::learns::gamma_and_beta, linattn::sum_normalizer, on_device>>(shape);
}

constexpr int vocabulary = 11;
constexpr example::sequence_shape batch{2, 70};  // a piece of 64 tokens and a short one

/// How far an attention's output or gradient of one side may be from the other's, as a share of the magnitude of its
/// terms: sums of 70 terms in float on either side, and ten roundings of factors to 2^-21 on the device, as in
/// support/tolerance.hpp. To first order, a loss or a gradient moves by no more than that share of itself: LayerNorms
/// and eps keep the layers between from magnifying, so nothing is allowed for them, nor for errors of earlier steps,
/// which reach the parameters times the rate. Seen are 1e-8 of the loss and 2e-7 of the gradient.
constexpr double share = 2 * 70 * 0x1p-24 + 10 * 0x1p-21;  // 1.3e-5

struct learner {
  explicit learner(bool on_cuda)
      : net(settings(on_cuda)), gradient(net.parameters().size()), optimizer(net.parameters().size(), {}) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 0.15F);
    for (float& value : net.parameters().values()) {  // so large that the attentions matter
      value += normal(random);
    }
    for (int i = 0; i <= batch.rows(); ++i) {
      text.push_back(static_cast<int>(random() % vocabulary));
    }
  }

  static example::model_settings settings(bool on_cuda) {
    return {.kernel = "rebased",
            .blocks = "caca",
            .vocabulary = vocabulary,
            .width = 24,
            .heads = 2,
            .value_dim = 5,
            .taps = 3,
            .eps = 0.05,
            .seed = 7,
            .make_kernel = on_cuda ? make_on_device : example::make_attention_kernel};
  }

  [[nodiscard]] std::span<int const> tokens() const { return std::span(text).first(text.size() - 1); }
  [[nodiscard]] std::span<int const> targets() const { return std::span(text).last(text.size() - 1); }

  /// A training step of the language model; returns the loss before it.
  double step() {
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    double const loss =
        net.loss_and_gradient(batch, tokens(), targets(), 1.0F / static_cast<float>(batch.rows()), work, gradient);
    optimizer.begin_step();
    optimizer.update(net.parameters().values(), gradient, net.parameters().decay_mask(), 3e-3F, 1.0F, 0,
                     gradient.size());
    return loss / batch.rows();
  }

  example::model net;
  std::vector<int> text;
  example::workspace work;
  example::buffer gradient;
  example::adamw optimizer;
};

double norm(example::buffer const& x) {
  double square = 0;
  for (float const each : x) {
    square += static_cast<double>(each) * static_cast<double>(each);
  }
  return std::sqrt(square);
}

example::buffer difference(example::buffer x, example::buffer const& y) {
  std::transform(x.begin(), x.end(), y.begin(), x.begin(), [](float a, float b) { return a - b; });
  return x;
}

TEST_CASE("the language model learns on a cuda_executor as on the CPU") {
  learner on_cuda(true);
  learner on_cpu(false);
  double first = 0;
  double last = 0;
  for (int n = 0; n < 6; ++n) {
    CAPTURE(n);
    last = on_cpu.step();
    first = n == 0 ? last : first;
    double const loss = on_cuda.step();
    CHECK(std::abs(loss - last) <= share * last);
    CHECK(norm(difference(on_cuda.gradient, on_cpu.gradient)) <= share * norm(on_cpu.gradient));
  }
  CHECK(last < 0.9 * first);
}

TEST_CASE("the language model decodes on a cuda_executor as on the CPU, after a prefill") {
  learner on_cuda(true);
  learner on_cpu(false);
  auto decoder = [](learner& l) {
    auto state = l.net.make_state(batch.batch);
    l.net.forward(batch, l.tokens(), l.work, &state);
    return state;
  };
  auto on_cuda_state = decoder(on_cuda);
  auto on_cpu_state = decoder(on_cpu);
  for (int token = 0; token < 3; ++token) {
    CAPTURE(token);
    std::vector<int> const tokens(batch.batch, token);
    auto logits = [&](learner& l, example::decoder_state& state) {
      float const* const first = l.net.step(tokens, state, l.work);
      return example::buffer(first, first + batch.batch * vocabulary);
    };
    example::buffer const want = logits(on_cpu, on_cpu_state);
    CHECK(norm(difference(logits(on_cuda, on_cuda_state), want)) <= share * norm(want));
  }
}

}  // namespace
}  // namespace linattn_test
