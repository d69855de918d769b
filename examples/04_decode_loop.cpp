// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Prefill a prompt in one call, then decode token by token through the state; save the state and go on from the file.
// Checks that both ways give what one pass over the whole sequence gives.
#include <linattn/linattn.hpp>
#include <linattn/state_io.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <sstream>
#include <vector>

namespace {

constexpr int batch = 2, heads = 4, value_dim = 32, prompt = 100, total = 140;

std::vector<float> random_numbers(int count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::generate(numbers.begin(), numbers.end(), [&] { return normal(engine); });
  return numbers;
}

/// The tokens [begin, begin + count) of a (batch, time, head, channel) tensor: nothing is copied.
template <class T>
linattn::tensor_view<T, 4> tokens(T* data, int channels, int begin, int count) {
  auto view = linattn::view_bthd(data + begin * heads * channels, batch, total, heads, channels);
  view.extents[2] = count;
  return view;
}

}  // namespace

int main() {
  std::vector<float> const q_data = random_numbers(batch * total * heads * 16, 1);
  std::vector<float> const k_data = random_numbers(batch * total * heads * 16, 2);
  std::vector<float> const v_data = random_numbers(batch * total * heads * value_dim, 3);
  std::vector<float> whole(v_data.size()), decoded(v_data.size());
  linattn::cpu_executor const exec{};
  linattn::attention<linattn::taylor<16>> const attn{};
  linattn::forward(exec, attn, {.q = tokens(q_data.data(), 16, 0, total), .k = tokens(k_data.data(), 16, 0, total),
                                .v = tokens(v_data.data(), value_dim, 0, total),
                                .out = tokens(whole.data(), value_dim, 0, total)});

  auto const q = tokens(q_data.data(), 16, 0, prompt), k = tokens(k_data.data(), 16, 0, prompt);
  auto const v = tokens(v_data.data(), value_dim, 0, prompt);
  auto const o = tokens(decoded.data(), value_dim, 0, prompt);
  linattn::host_state<linattn::taylor<16>> state{batch, heads, value_dim};           // zero
  linattn::forward(exec, attn, {.q = q, .k = k, .v = v, .out = o, .final_state = state.view()});   // prefill; .initial_state too

  for (int t = prompt; t < total; ++t) {
    if (t == (prompt + total) / 2) {  // a break: the state is all that decoding needs
      std::stringstream file;
      linattn::save(file, state);
      std::printf("%zu bytes of state after %d tokens\n", file.str().size(), t);
      state = linattn::load<linattn::taylor<16>>(file);
    }
    auto const q1 = tokens(q_data.data(), 16, t, 1), k1 = tokens(k_data.data(), 16, t, 1);
    auto const v1 = tokens(v_data.data(), value_dim, t, 1);
    auto const o1 = tokens(decoded.data(), value_dim, t, 1);
    linattn::step(exec, attn, state.view(), {.q = q1, .k = k1, .v = v1, .out = o1});   // time == 1, updates the state in place
  }

  float difference = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    difference = std::max(difference, std::abs(whole[i] - decoded[i]));
  }
  std::printf("largest difference from one pass over %d tokens: %.1e\n", total, static_cast<double>(difference));
  return difference < 1e-4F ? 0 : 1;
}
