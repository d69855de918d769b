// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Bad arguments are refused on a cuda_executor before anything is launched or allocated; what is empty is legal.
#include "emu/device_buffer.hpp"
#include "emu/executor.hpp"
#include "reject/good_call.hpp"

#include <linattn/cuda/cuda.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/forward.hpp>
#include <linattn/step.hpp>
#include <linattn/strategy/automatic.hpp>
#include <linattn/strategy/parallel.hpp>
#include <linattn/strategy/recurrent.hpp>
#include <linattn/workspace.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace linattn_test {
namespace {

using map = linattn::taylor<head_dim>;

/// Device memory for any of the small views in these tests, in pieces that lie far apart.
class device_pieces {
 public:
  float* operator[](int i) { return memory_.data() + static_cast<std::size_t>(i) * size; }

 private:
  static constexpr std::size_t size = 4096;
  device_buffer<float> memory_{std::vector<float>(size * 9, 0.25F)};
};

template <class Call>
void check_refused(std::string const& beginning, Call&& call) {
  CAPTURE(beginning);
  linattn::emu::current_stats() = {};
  std::string text;
  try {
    call();
  } catch (linattn::shape_error const& error) {
    text = error.what();
  }
  CHECK(text.substr(0, beginning.size()) == beginning);
  CHECK(linattn::emu::current_stats().launches == 0);
}

template <class Strategy>
struct fixture : good_call<linattn::attention<map, Strategy>, device_pieces> {
  using attention = linattn::attention<map, Strategy>;
  linattn::cuda_executor<> exec{};

  void refuse(typename attention::forward_args const& a, std::string const& beginning) {
    check_refused("linattn::forward: " + beginning, [&] { linattn::forward(exec, this->attn, a); });
  }
  void accept(typename attention::forward_args const& a) { CHECK_NOTHROW(linattn::forward(exec, this->attn, a)); }
  void refuse_step(linattn::state_view<map> const& state, typename attention::step_args const& a,
                   std::string const& beginning) {
    check_refused("linattn::step: " + beginning, [&] { linattn::step(exec, this->attn, state, a); });
  }
};

#define LINATTN_TEST_STRATEGIES linattn::chunkwise<>, linattn::parallel, linattn::recurrent, linattn::automatic

TEST_CASE_TEMPLATE("forward refuses bad arguments before any launch and accepts the nearest good ones", Strategy,
                   LINATTN_TEST_STRATEGIES) {
  fixture<Strategy> f;
  f.accept(f.good());
  f.accept(f.with_states());
  auto a = f.good();
  a.q = linattn::view_bthd(f.memory[0], batch, time, heads, head_dim + 1);
  f.refuse(a, "q has head_dim 5, but this attention was instantiated for 4;");
  a = f.good();
  a.k.extents[2] += 1;
  f.refuse(a, "k has extent 4 in dimension 2 of (batch, kv_heads, time, head_dim); 3 is accepted;");
  a = f.good();
  a.k.extents[1] = a.v.extents[1] = 3;
  f.refuse(a, "q has 4 heads and k has 3;");
  a = f.good();
  a.q.extents[2] = -1;
  f.refuse(a, "q has a negative extent, -1 in dimension 2;");
  a = f.good();
  a.v.data = nullptr;
  f.refuse(a, "v is null");
  a = f.good();
  a.out = linattn::view_bthd(f.memory[0], batch, time, heads, value_dim);
  f.refuse(a, "out overlaps q;");
  a = f.with_states();
  a.final_state.kv.extents[3] -= 1;
  f.refuse(a, "final_state.kv has extent 4 in dimension 3");
  a = f.with_states();
  a.initial_state.k_sum = {};
  f.refuse(a, "initial_state.k_sum has extent 0");
  std::int32_t const offsets[] = {0, 1, 3};
  a = f.good();
  a.cu_seqlens = std::span<std::int32_t const>(offsets);
  f.refuse(a, "cu_seqlens is given with a batch of 2;");
  f.attn.normalizer.eps = -1;
  f.refuse(f.good(), "the normalizer's eps is negative or not finite;");
}

TEST_CASE("step refuses bad arguments before any launch") {
  fixture<linattn::chunkwise<>> f;
  auto const state = f.state_at(5);
  CHECK_NOTHROW(linattn::step(f.exec, f.attn, state, f.good_step()));
  f.refuse_step({}, f.good_step(), "state.kv has extent 0");
  f.refuse_step(f.state_at(5, batch + 1), f.good_step(), "state.kv has 3 slots; 2 are accepted,");
  f.refuse_step(linattn::view_state<map>(f.memory[3], f.memory[6], batch, kv_heads, value_dim), f.good_step(),
                "state.kv overlaps out;");
  auto a = f.good_step();
  a.q.extents[2] = a.k.extents[2] = a.v.extents[2] = a.out.extents[2] = 2;
  f.refuse_step(state, a, "q has time 2; a step takes 1 token;");
}

TEST_CASE("parameters of a wrong size are refused before any launch") {
  good_call<linattn::attention<linattn::rebased<head_dim>>, device_pieces> f;
  auto const forward = [&] { linattn::forward(linattn::cuda_executor<>{}, f.attn, f.good()); };
  f.attn.map.parameters.gamma_q = linattn::tensor_view<float, 1>{f.memory[5], {head_dim}};
  CHECK_NOTHROW(forward());
  f.attn.map.parameters.gamma_q = linattn::tensor_view<float, 1>{f.memory[5], {head_dim - 1}};
  check_refused("linattn::forward: ", forward);
}

/// An empty view whose strides are not 0: offsets would show.
linattn::tensor_view<float, 4> null_view(std::int64_t rows, std::int64_t count, std::int64_t tokens,
                                         std::int64_t channels) {
  return {nullptr, {rows, count, tokens, channels}, {64, 16, 4, 1}};
}

TEST_CASE_TEMPLATE("no token: the state passes through null tensors", Strategy, LINATTN_TEST_STRATEGIES) {
  fixture<Strategy> f;
  for (bool const causal : {true, false}) {
    CAPTURE(causal);
    auto a = f.with_states();
    a.q = null_view(batch, heads, 0, head_dim);
    a.k = null_view(batch, kv_heads, 0, head_dim);
    a.v = null_view(batch, kv_heads, 0, value_dim);
    a.out = null_view(batch, heads, 0, value_dim);
    a.denominator = {nullptr, {batch, heads, 0}, {4, 4, 1}};
    a.causal = causal;
    float* const first = f.memory[5];
    float* const last = f.memory[7];
    first[3] = 3.0F;
    last[3] = -1.0F;
    f.accept(a);
    CHECK(last[3] == 3.0F);
    a.final_state = {};
    f.accept(a);
  }
}

TEST_CASE_TEMPLATE("no batch row, no head and no value are legal", Strategy, LINATTN_TEST_STRATEGIES) {
  fixture<Strategy> f;
  auto a = f.good();
  a.q = null_view(0, heads, time, head_dim);
  a.k = null_view(0, kv_heads, time, head_dim);
  a.v = null_view(0, kv_heads, time, value_dim);
  a.out = null_view(0, heads, time, value_dim);
  f.accept(a);
  a.q = null_view(batch, 0, time, head_dim);
  a.k = null_view(batch, kv_heads, time, head_dim);
  a.k.data = f.memory[1];
  a.v = linattn::view_bthd(f.memory[2], batch, time, kv_heads, value_dim);
  a.out = null_view(batch, 0, time, value_dim);
  f.accept(a);
  a = f.good();
  a.v = null_view(batch, kv_heads, time, 0);
  a.out = null_view(batch, heads, time, 0);
  a.denominator = linattn::view_bth(f.memory[4], batch, time, heads);
  a.final_state = linattn::view_state<map>(f.memory[7], f.memory[8], batch, kv_heads, 0);
  f.memory[8][0] = -1.0F;
  f.memory[4][0] = -1.0F;
  f.accept(a);
  CHECK(f.memory[8][0] == 3.0F);  // the constant feature, once a key
  CHECK(f.memory[4][0] > 0.0F);
}

TEST_CASE_TEMPLATE("packed sequences may all be empty, or be none", Strategy, LINATTN_TEST_STRATEGIES) {
  fixture<Strategy> f;
  auto a = f.good();
  device_buffer<std::int32_t> const offsets(std::vector<std::int32_t>{0, 0, 0});
  a.q = null_view(1, heads, 0, head_dim);
  a.k = null_view(1, kv_heads, 0, head_dim);
  a.v = null_view(1, kv_heads, 0, value_dim);
  a.out = null_view(1, heads, 0, value_dim);
  a.cu_seqlens = std::span<std::int32_t const>(offsets.data(), 3);
  a.initial_state = f.state_at(5);
  a.final_state = f.state_at(7);
  f.memory[7][3] = -1.0F;
  f.accept(a);
  CHECK(f.memory[7][3] == f.memory[5][3]);
  a.cu_seqlens = std::span<std::int32_t const>(offsets.data(), 1);
  a.initial_state = f.state_at(5, 0);
  a.final_state = f.state_at(7, 0);
  f.accept(a);
}

}  // namespace
}  // namespace linattn_test
