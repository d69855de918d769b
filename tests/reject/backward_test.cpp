// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What backward() refuses, with which words; and the nearest thing that it accepts.
#include "recording_executor.hpp"

#include <limits>
#include <span>

namespace linattn_test {
namespace {

using args = rebased::backward_args;

struct fixture : good_call<rebased, pieces> {
  args good() {
    args a = inputs<args>(time);
    a.grad_out = linattn::view_bthd(memory[3], batch, time, heads, value_dim);
    a.grad_q = linattn::view_bthd(memory[4], batch, time, heads, head_dim);
    a.grad_k = linattn::view_bthd(memory[5], batch, time, kv_heads, head_dim);
    a.grad_v = linattn::view_bthd(memory[6], batch, time, kv_heads, value_dim);
    return a;
  }
  args complete() {
    args a = good();
    a.out = linattn::view_bthd(memory[7], batch, time, heads, value_dim);
    a.denominator = linattn::view_bth(memory[8], batch, time, heads);
    a.initial_state = state_at(9);
    a.grad_final_state = state_at(11);
    a.grad_initial_state = state_at(13);
    return a;
  }
  linattn::tensor_view<float, 1> row(int piece, std::int64_t size = head_dim) { return {memory[piece], {size}}; }
  linattn::tensor_view<float, 2> rows(int piece, std::int64_t count) { return {memory[piece], {count, head_dim}}; }

  void refuse(args const& a, std::string const& beginning) {
    check_refused(linattn::validate(attn, a), "linattn::backward: " + beginning,
                  [&](auto exec) { linattn::backward(exec, attn, a); });
  }
  void accept(args const& a) {
    check_accepted(linattn::validate(attn, a), [&](auto exec) { linattn::backward(exec, attn, a); });
  }
};

TEST_CASE_FIXTURE(fixture, "backward accepts what fits") {
  accept(good());
  accept(complete());
}

TEST_CASE_FIXTURE(fixture, "backward refuses gradients of another shape than their tensor") {
  args a = good();
  a.grad_out.extents[3] = 4;
  refuse(a, "grad_out has extent 4 in dimension 3 of (batch, heads, time, value_dim); 5 is accepted;");
  a = good();
  a.grad_q.extents[1] = 2;
  refuse(a, "grad_q has extent 2 in dimension 1 of (batch, heads, time, head_dim); 4 is accepted;");
  a = good();
  a.grad_k.extents[1] = 4;
  refuse(a, "grad_k has extent 4 in dimension 1 of (batch, kv_heads, time, head_dim); 2 is accepted;");
  a = good();
  a.grad_v.extents[2] = 2;
  refuse(a, "grad_v has extent 2 in dimension 2 of (batch, kv_heads, time, value_dim); 3 is accepted;");
  a = good();
  a.grad_k = {};
  refuse(a, "grad_k has extent 0");
  a = good();
  a.grad_v.data = nullptr;
  refuse(a, "grad_v is null,");
  a = good();
  a.grad_q.strides[3] = 2;
  refuse(a, "grad_q has a stride of 2 in its last dimension;");
}

TEST_CASE_FIXTURE(fixture, "backward refuses out without denominator, and the reverse") {
  args a = complete();
  a.denominator = {};
  refuse(a, "out is given without denominator; both or neither are accepted;");
  a = complete();
  a.out = {};
  refuse(a, "denominator is given without out; both or neither are accepted;");
  a = complete();
  a.out.extents[2] = 2;
  refuse(a, "out has extent 2 in dimension 2");
  a = complete();
  a.denominator.extents[1] = 2;
  refuse(a, "denominator has extent 2 in dimension 1 of (batch, heads, time); 4 is accepted;");
}

TEST_CASE("backward without a normalizer takes out alone") {
  pieces memory;
  using plain = linattn::attention<linattn::taylor<head_dim>, linattn::chunkwise<>, linattn::unnormalized>;
  plain const attn{};
  plain::backward_args a{};
  a.q = linattn::view_bthd(memory[0], 1, 3, 1, head_dim);
  a.k = linattn::view_bthd(memory[1], 1, 3, 1, head_dim);
  a.v = linattn::view_bthd(memory[2], 1, 3, 1, 5);
  a.out = linattn::view_bthd(memory[3], 1, 3, 1, 5);
  a.grad_out = linattn::view_bthd(memory[4], 1, 3, 1, 5);
  a.grad_q = linattn::view_bthd(memory[5], 1, 3, 1, head_dim);
  a.grad_k = linattn::view_bthd(memory[6], 1, 3, 1, head_dim);
  a.grad_v = linattn::view_bthd(memory[7], 1, 3, 1, 5);
  check_accepted(linattn::validate(attn, a), [&](auto exec) { linattn::backward(exec, attn, a); });
}

TEST_CASE_FIXTURE(fixture, "backward refuses gradients that overlap anything") {
  args a = good();
  a.grad_q.data = memory[0];
  refuse(a, "grad_q overlaps q;");
  a = good();
  a.grad_k.data = memory[3] + 2;
  refuse(a, "grad_k overlaps grad_out;");
  a = good();
  a.grad_v.data = memory[4];
  refuse(a, "grad_q overlaps grad_v;");
  a = good();
  a.grad_k.data = memory[6];
  refuse(a, "grad_k overlaps grad_v;");
  a = good();
  a.grad_q.strides[1] = 0;
  refuse(a, "grad_q is written through a stride of 0 in dimension 1;");
  a = complete();
  a.grad_v.data = memory[7];
  refuse(a, "grad_v overlaps out;");
  a = complete();
  a.grad_initial_state.kv.data = memory[5];
  refuse(a, "grad_initial_state.kv overlaps grad_k;");
}

TEST_CASE_FIXTURE(fixture, "backward never lets two results, or a result and a state, share memory") {
  args a = complete();
  a.grad_q.data = memory[9];
  refuse(a, "grad_q overlaps initial_state.kv;");
  a = complete();
  a.grad_k.data = memory[11];
  refuse(a, "grad_k overlaps grad_final_state.kv;");
  a = complete();
  a.grad_initial_state.kv.data = memory[9];
  refuse(a, "grad_initial_state.kv overlaps initial_state.kv;");
  a = complete();
  a.grad_initial_state.k_sum.data = memory[8];
  refuse(a, "grad_initial_state.k_sum overlaps denominator;");
}

TEST_CASE_FIXTURE(fixture, "backward accepts interleaved slices of fused qkv and dqkv buffers") {
  std::int64_t const row = heads * head_dim + kv_heads * (head_dim + value_dim);
  auto const slice = [&](int piece, std::int64_t from, std::int64_t count, std::int64_t size) {
    return linattn::tensor_view<float, 4>{
        memory[piece] + from, {batch, count, time, size}, {time * row, size, row, 1}};
  };
  args a = good();
  a.q = slice(0, 0, heads, head_dim);
  a.k = slice(0, 16, kv_heads, head_dim);
  a.v = slice(0, 24, kv_heads, value_dim);
  a.grad_q = slice(4, 0, heads, head_dim);
  a.grad_k = slice(4, 16, kv_heads, head_dim);
  a.grad_v = slice(4, 24, kv_heads, value_dim);
  accept(a);
  a.grad_v.data -= 1;
  refuse(a, "grad_k overlaps grad_v;");
}

TEST_CASE_FIXTURE(fixture, "backward accepts the state's gradient in place and refuses it shifted") {
  args a = complete();
  a.grad_initial_state = state_at(11);
  accept(a);
  a.grad_initial_state.kv.data += 1;
  refuse(a, "grad_initial_state overlaps grad_final_state;");
}

TEST_CASE_FIXTURE(fixture, "backward refuses parameters of a wrong size or head count") {
  attn.map.parameters.gamma_q = row(15, 5);
  refuse(good(), "gamma_q has 5 channels; the map's head_dim is 4;");
  attn = {};
  attn.map.parameters.beta_k = rows(15, heads);
  refuse(good(), "beta_k has 4 heads; accepted are 2 heads,");
  attn = {};
  attn.map.parameters.gamma_q = rows(15, heads);
  attn.map.parameters.gamma_k = rows(16, kv_heads);
  attn.map.parameters.beta_k = row(17);
  accept(good());
  attn = {};
  attn.map.layer_norm_eps = std::numeric_limits<double>::quiet_NaN();
  refuse(good(), "layer_norm_eps is negative or not finite;");
}

TEST_CASE_FIXTURE(fixture, "backward refuses parameter gradients unlike their parameter, and shared elements in them") {
  attn.map.parameters.gamma_q = row(15);
  args a = good();
  a.grad_map.gamma_q = rows(16, heads);
  refuse(a, "the gradient of gamma_q has rank 2; its parameter has rank 1;");
  a.grad_map.gamma_q = row(16, 3);
  refuse(a, "gamma_q has 3 channels;");
  a.grad_map.gamma_q = linattn::tensor_view<float, 1>{memory[16], {head_dim}, {0}};
  refuse(a, "the gradient of gamma_q has a stride of 0;");
  a.grad_map.gamma_q = row(16);
  accept(a);
  attn.map.parameters.gamma_q = rows(15, heads);
  a.grad_map.gamma_q = linattn::tensor_view<float, 2>{memory[16], {heads, head_dim}, {0, 1}};
  refuse(a, "the gradient of gamma_q has a stride of 0;");
}

TEST_CASE_FIXTURE(fixture, "backward refuses bad offsets and slots that lie in host memory") {
  std::vector<std::int32_t> const slots{5, 5};
  args a = complete();
  a.grad_initial_state = linattn::view_state<map_type>(memory[13], memory[14], 6, kv_heads, value_dim);
  a.grad_initial_state.slots = slots;
  check_verb_refuses("linattn::backward: rows 0 and 1 both own slot 5;",
                     [&](auto exec) { linattn::backward(exec, attn, a); });
  std::vector<std::int64_t> const offsets{0, 2};
  a = good();
  a.cu_seqlens = std::span<std::int64_t const>(offsets);
  refuse(a, "cu_seqlens is given with a batch of 2;");
}

}  // namespace
}  // namespace linattn_test
