// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Trains ReBased's gamma and beta and a small readout by gradient descent, to imitate a layer with other parameters: on
// the CPU and, from 05_train_rebased_cuda.cu, on a CUDA stream.
#include "05_backend.hpp"

#include <algorithm>
#include <cstdio>
#include <random>
#include <span>

namespace example {  // named, so that `time` is not the C library's

constexpr int batch = 4, time = 128, heads = 2, value_dim = 8, tokens = batch * time * heads;
std::mt19937 engine(1);

numbers normal_numbers(int count, float mean, float deviation) {
  std::normal_distribution<float> normal(mean, deviation);
  numbers x(static_cast<std::size_t>(count));
  std::generate(x.begin(), x.end(), [&] { return normal(engine); });
  return x;
}

/// Parameters of the layer, shared by its heads, and the weights that read one number out of each output row.
struct model {
  numbers gamma_q = numbers(16, 1.F), beta_q = numbers(16), gamma_k = numbers(16, 1.F), beta_k = numbers(16);
  numbers readout = numbers(value_dim);
};

float dot(float const* a, float const* b) {
  float sum = 0;
  for (int i = 0; i < value_dim; ++i) { sum += a[i] * b[i]; }
  return sum;
}

int run_example(backend const& device) {
  numbers const q_data = normal_numbers(tokens * 16, 0, 1), k_data = normal_numbers(tokens * 16, 0, 1);
  numbers const v_data = normal_numbers(tokens * value_dim, 0, 1);
  numbers out(v_data.size()), grad_out(v_data.size()), dq_data(q_data.size()), dk_data(k_data.size()), dv(v_data.size());
  auto const q = linattn::view_bthd(q_data.data(), batch, time, heads, 16);
  auto const k = linattn::view_bthd(k_data.data(), batch, time, heads, 16);
  auto const v = linattn::view_bthd(v_data.data(), batch, time, heads, value_dim);
  auto const o = linattn::view_bthd(out.data(), batch, time, heads, value_dim);
  auto const g = linattn::view_bthd<float const>(grad_out.data(), batch, time, heads, value_dim);
  auto const dq = linattn::view_bthd(dq_data.data(), batch, time, heads, 16);
  auto const dk = linattn::view_bthd(dk_data.data(), batch, time, heads, 16);
  auto const dvalue = linattn::view_bthd(dv.data(), batch, time, heads, value_dim);
  auto const exec = device.executor();

  numbers target(tokens);
  float first_loss = 0, loss = 0;
  auto const step = [&](model& m, float rate) {  // rate 0: sets the target
    std::span<float const> const gq(m.gamma_q), bq(m.beta_q), gk(m.gamma_k), bk(m.beta_k);
    model grad{numbers(16), numbers(16), numbers(16), numbers(16), numbers(value_dim)};
    std::span<float> const dgq(grad.gamma_q), dbq(grad.beta_q), dgk(grad.gamma_k), dbk(grad.beta_k);
    linattn::attention<linattn::rebased<16>, linattn::chunkwise<64>> layer{
        .map = {.parameters = {.gamma_q = gq, .beta_q = bq, .gamma_k = gk, .beta_k = bk}}};
    linattn::forward(exec, layer, {.q = q, .k = k, .v = v, .out = o});
    device.wait();
    loss = 0;
    for (std::size_t n = 0; n < tokens; ++n) {
      float const* const row = out.data() + n * value_dim;
      float const prediction = dot(row, m.readout.data());
      if (rate == 0) { target[n] = prediction; }
      float const error = prediction - target[n];
      loss += error * error / tokens;
      for (std::size_t c = 0; c < value_dim; ++c) {
        grad_out[n * value_dim + c] = 2 * error / tokens * m.readout[c];
        grad.readout[c] += 2 * error / tokens * row[c];
      }
    }
    linattn::backward(exec, layer, {.q = q, .k = k, .v = v, .grad_out = g, .grad_q = dq, .grad_k = dk, .grad_v = dvalue,
                                    .grad_map = {.gamma_q = dgq, .beta_q = dbq, .gamma_k = dgk, .beta_k = dbk}});
    device.wait();
    for (auto part : {&model::gamma_q, &model::beta_q, &model::gamma_k, &model::beta_k, &model::readout}) {
      for (std::size_t i = 0; i < (m.*part).size(); ++i) { (m.*part)[i] -= rate * (grad.*part)[i]; }
    }
  };

  model teacher{normal_numbers(16, 1, 0.8F), normal_numbers(16, 0, 0.4F), normal_numbers(16, 1, 0.8F),
                normal_numbers(16, 0, 0.4F), normal_numbers(value_dim, 0, 1)};
  step(teacher, 0);
  model student;
  for (int n = 0; n <= 400; ++n) {
    step(student, 1.F);
    first_loss = n == 0 ? loss : first_loss;
    if (n % 50 == 0) { std::printf("step %3d  loss %.5f\n", n, static_cast<double>(loss)); }
  }
  return loss < 0.05F * first_loss ? 0 : 1;
}

}  // namespace example

int main() { return example::run_on_backend(example::run_example); }
