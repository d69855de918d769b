// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What forward() refuses, with which words; and the nearest thing that it accepts.
#include "recording_executor.hpp"

#include <limits>
#include <span>

namespace linattn_test {
namespace {

using args = based::forward_args;

struct fixture : good_call<based, pieces> {
  void refuse(args const& a, std::string const& beginning) {
    check_refused(linattn::validate(attn, a), "linattn::forward: " + beginning,
                  [&](auto exec) { linattn::forward(exec, attn, a); });
  }
  void accept(args const& a) {
    check_accepted(linattn::validate(attn, a), [&](auto exec) { linattn::forward(exec, attn, a); });
  }
  void verb_refuses(args const& a, std::string const& beginning) {
    check_verb_refuses("linattn::forward: " + beginning, [&](auto exec) { linattn::forward(exec, attn, a); });
  }
};

TEST_CASE_FIXTURE(fixture, "forward accepts what fits, with and without states") {
  accept(good());
  accept(with_states());
}

TEST_CASE_FIXTURE(fixture, "forward accepts empty batches, times, heads and values") {
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    args a = good();
    if (i == 0) { a.q.extents[0] = a.k.extents[0] = a.v.extents[0] = a.out.extents[0] = 0; }
    if (i == 1) { a.q.extents[2] = a.k.extents[2] = a.v.extents[2] = a.out.extents[2] = 0; }
    if (i == 2) { a.q.extents[1] = a.k.extents[1] = a.v.extents[1] = a.out.extents[1] = 0; }
    if (i == 3) { a.v.extents[3] = a.out.extents[3] = 0; }
    accept(a);
    if (i != 3) {
      a.q.data = nullptr;  // nothing to read: null is as good as any
      a.out.data = nullptr;
      accept(a);
    }
  }
}

TEST_CASE_FIXTURE(fixture, "forward refuses a head_dim other than the map's") {
  args a = good();
  a.q = linattn::view_bthd(memory[0], batch, time, heads, head_dim + 1);
  refuse(a, "q has head_dim 5, but this attention was instantiated for 4; choose the map at run time with "
            "linattn::dispatch");
  a = good();
  a.k = linattn::view_bthd(memory[1], batch, time, kv_heads, 8);
  refuse(a, "k has head_dim 8, but this attention was instantiated for 4;");
}

TEST_CASE_FIXTURE(fixture, "forward refuses tensors of different batch, time, heads or values") {
  auto const each = [&](auto member, int dimension, std::string const& beginning) {
    args a = good();
    member(a).extents[dimension] += 1;
    refuse(a, beginning);
  };
  auto const k = [](args& a) -> auto& { return a.k; };
  auto const v = [](args& a) -> auto& { return a.v; };
  auto const out = [](args& a) -> auto& { return a.out; };
  each(k, 0, "k has extent 3 in dimension 0 of (batch, kv_heads, time, head_dim); 2 is accepted;");
  each(k, 2, "k has extent 4 in dimension 2 of (batch, kv_heads, time, head_dim); 3 is accepted;");
  each(v, 0, "v has extent 3 in dimension 0");
  each(v, 1, "v has extent 3 in dimension 1 of (batch, kv_heads, time, value_dim); 2 is accepted;");
  each(v, 2, "v has extent 4 in dimension 2");
  each(v, 3, "out has extent 5 in dimension 3 of (batch, heads, time, value_dim); 6 is accepted;");
  each(out, 0, "out has extent 3 in dimension 0");
  each(out, 1, "out has extent 5 in dimension 1");
  each(out, 2, "out has extent 4 in dimension 2");
}

TEST_CASE_FIXTURE(fixture, "forward refuses head counts that do not divide") {
  args a = good();
  a.k.extents[1] = a.v.extents[1] = 3;
  refuse(a, "q has 4 heads and k has 3; the query heads must be a multiple of the key heads;");
  a.k.extents[1] = a.v.extents[1] = 0;
  refuse(a, "q has 4 heads and k has 0;");
  a.k.extents[1] = a.v.extents[1] = 8;
  refuse(a, "q has 4 heads and k has 8;");
  a.k.extents[1] = a.v.extents[1] = 4;
  accept(a);
}

TEST_CASE_FIXTURE(fixture, "forward refuses negative and overflowing sizes") {
  args a = good();
  a.q.extents[2] = -1;
  refuse(a, "q has a negative extent, -1 in dimension 2;");
  a = good();
  a.k.extents[0] = (std::numeric_limits<std::int64_t>::min)();
  refuse(a, "k has a negative extent, -9223372036854775808 in dimension 0;");
  a = good();
  a.v.extents[3] = -5;
  refuse(a, "v has a negative extent, -5 in dimension 3;");
  a = good();
  a.out.extents[3] = -5;
  refuse(a, "out has a negative extent, -5 in dimension 3;");
  a = good();
  a.q.extents[0] = a.q.extents[1] = a.q.extents[2] = std::int64_t{1} << 40;
  refuse(a, "q overflows: its extents or strides exceed the address space");
  a = good();
  a.k.strides[2] = std::int64_t{1} << 61;
  refuse(a, "k overflows: its extents or strides exceed the address space");
  a = good();
  a.v.strides[2] = (std::numeric_limits<std::int64_t>::min)();
  refuse(a, "v overflows: a stride of -9223372036854775808;");
  // Heads and values that fit the address space through a stride of 0, but are too many to count in an int.
  a = good();
  a.q.extents[1] = a.out.extents[1] = std::int64_t{1} << 32;
  a.q.strides[1] = a.out.strides[1] = 0;
  refuse(a, "q has 4294967296 heads and v has value_dim 5; up to 2^30 are accepted;");
}

TEST_CASE_FIXTURE(fixture, "forward refuses null views that have elements") {
  args a = good();
  a.q.data = nullptr;
  refuse(a, "q is null, with elements to read or write;");
  a = good();
  a.v.data = nullptr;
  refuse(a, "v is null,");
  a = good();
  a.out.data = nullptr;
  refuse(a, "out is null,");
  refuse(args{}, "q has head_dim 0, but this attention was instantiated for 4;");
  a = good();
  a.out = {};
  refuse(a, "out has extent 0 in dimension 0");
}

TEST_CASE_FIXTURE(fixture, "forward refuses a last dimension that is not contiguous") {
  args a = good();
  a.q.strides[3] = 2;
  refuse(a, "q has a stride of 2 in its last dimension; 1 is accepted,");
  a = good();
  a.out.strides[3] = 0;
  refuse(a, "out has a stride of 0 in its last dimension;");
  a = good();
  a.v.strides[3] = -1;
  refuse(a, "v has a stride of -1 in its last dimension;");
}

TEST_CASE_FIXTURE(fixture, "forward refuses outputs with elements in common, and accepts such inputs") {
  args a = good();
  a.out.strides[1] = 0;
  refuse(a, "out is written through a stride of 0 in dimension 1; outputs need distinct elements,");
  a = good();
  a.out.strides[2] = 7;  // rows of 4 x 5 values overlap
  refuse(a, "out is written through a stride of ");
  a = with_states();
  a.denominator.strides[0] = 0;
  refuse(a, "denominator is written through a stride of 0");
  a = good();
  a.k.strides[1] = a.v.strides[1] = 0;
  accept(a);
}

TEST_CASE_FIXTURE(fixture, "forward refuses outputs that overlap an input or each other") {
  args a = good();
  a.out = linattn::view_bthd(memory[2] + 7, batch, time, heads, value_dim);
  refuse(a, "out overlaps v; outputs share no memory with other tensors;");
  a.out = linattn::view_bthd(memory[0], batch, time, heads, value_dim);
  refuse(a, "out overlaps q;");
  a = with_states();
  a.denominator.data = memory[3] + 1;
  refuse(a, "denominator overlaps out;");
  a = with_states();
  a.initial_state.k_sum.data = memory[3];
  refuse(a, "out overlaps initial_state.k_sum;");
  a = with_states();
  a.initial_state.kv.data = memory[4];
  refuse(a, "denominator overlaps initial_state.kv;");
  a = with_states();
  a.final_state.kv.data = memory[1];
  refuse(a, "final_state.kv overlaps k;");
  a = with_states();
  a.final_state.k_sum.data = memory[7];
  refuse(a, "final_state.kv overlaps final_state.k_sum;");
  a = with_states();
  a.final_state.k_sum.data = memory[4];
  refuse(a, "final_state.k_sum overlaps denominator;");
}

TEST_CASE_FIXTURE(fixture, "forward accepts interleaved slices of one fused buffer, and refuses them one element further") {
  std::int64_t const row = heads * head_dim + kv_heads * (head_dim + value_dim) + heads * value_dim;
  auto const slice = [&](std::int64_t from, std::int64_t count, std::int64_t size) {
    return linattn::tensor_view<float, 4>{memory[0] + from, {batch, count, time, size}, {time * row, size, row, 1}};
  };
  args a{};
  a.q = slice(0, heads, head_dim);
  a.k = slice(16, kv_heads, head_dim);
  a.v = slice(24, kv_heads, value_dim);
  a.out = slice(34, heads, value_dim);
  accept(a);
  a.out.data -= 1;
  refuse(a, "out overlaps v;");
}

TEST_CASE_FIXTURE(fixture, "forward refuses states of a wrong shape, and too many or too few slots") {
  auto const map_state = [&](std::int64_t slots, std::int64_t g, std::int64_t v, int piece) {
    return linattn::view_state<based::map_type>(memory[piece], memory[piece + 1], slots, g, v);
  };
  args a = with_states();
  a.initial_state = map_state(batch + 1, kv_heads, value_dim, 5);
  refuse(a, "initial_state.kv has 3 slots; 2 are accepted, one a sequence; pass `slots` to use a pool");
  a = with_states();
  a.final_state = map_state(batch, heads, value_dim, 7);
  refuse(a, "final_state.kv has extent 4 in dimension 1 of (slots, kv_heads, feature_dim, value_dim); 2 is accepted;");
  a = with_states();
  a.final_state = map_state(batch, kv_heads, value_dim - 1, 7);
  refuse(a, "final_state.kv has extent 4 in dimension 3");
  a = with_states();
  a.final_state.k_sum.extents[2] = features - 1;
  refuse(a, "final_state.k_sum has extent 14 in dimension 2 of (slots, kv_heads, feature_dim); 15 is accepted;");
  a = with_states();
  a.initial_state.k_sum = {};
  refuse(a, "initial_state.k_sum has extent 0");
  a = with_states();
  a.final_state.kv = {};
  refuse(a, "final_state.kv has extent 0");
  a = with_states();
  a.final_state.kv.strides[0] = 0;
  refuse(a, "final_state.kv is written through a stride of 0");
}

TEST_CASE_FIXTURE(fixture, "forward accepts a state in place and refuses one that is shifted") {
  args a = with_states();
  auto const state = state_at(5);
  a.initial_state = state;
  a.final_state = state;
  accept(a);
  a.final_state.kv.data += 1;
  refuse(a, "final_state overlaps initial_state;");
  a = with_states();
  a.initial_state = state;
  a.final_state = linattn::view_state<based::map_type>(memory[5], memory[6], batch, kv_heads, value_dim,
                                                       linattn::state_layout::value_major);
  refuse(a, "final_state overlaps initial_state;");
}

TEST_CASE_FIXTURE(fixture, "forward refuses slots that are missing, out of range or shared by two outputs") {
  std::vector<std::int32_t> slots{3, 0};
  auto const pool = [&](int piece) {
    auto state = state_at(piece, 4);
    state.slots = slots;
    return state;
  };
  args a = good();
  a.final_state = pool(7);
  accept(a);
  slots = {3, 4};
  a.final_state = pool(7);
  verb_refuses(a, "slot index 4 of row 1; slots 0 to 3 are there;");
  slots = {-1, 0};
  a.final_state = pool(7);
  verb_refuses(a, "slot index -1 of row 0;");
  slots = {2, 2};
  a.final_state = pool(7);
  verb_refuses(a, "rows 0 and 1 both own slot 2;");
  a.final_state = {};
  a.initial_state = pool(7);
  accept(a);  // two rows may read one state
  slots = {1};
  a.initial_state = pool(7);
  refuse(a, "initial_state.kv has 1 slot indices; 2 are accepted,");
}

TEST_CASE_FIXTURE(fixture, "forward refuses packed offsets in a batch, and offsets that do not cover the time") {
  std::vector<std::int32_t> offsets{0, 1, 3};
  args a = good();
  a.cu_seqlens = std::span<std::int32_t const>(offsets);
  refuse(a, "cu_seqlens is given with a batch of 2; packed sequences lie in a batch of 1; use view_thd");
  a.q = linattn::view_thd(memory[0], time, heads, head_dim);
  a.k = linattn::view_thd(memory[1], time, kv_heads, head_dim);
  a.v = linattn::view_thd(memory[2], time, kv_heads, value_dim);
  a.out = linattn::view_thd(memory[3], time, heads, value_dim);
  accept(a);
  offsets = {0, 1, 4};
  a.cu_seqlens = std::span<std::int32_t const>(offsets);
  verb_refuses(a, "cu_seqlens runs from 0 to 4; it must run from 0 to the packed time 3;");
  offsets = {0, 2, 1, 3};
  a.cu_seqlens = std::span<std::int32_t const>(offsets);
  verb_refuses(a, "cu_seqlens decreases at sequence 1;");
  a.cu_seqlens = std::span<std::int32_t const>();
  verb_refuses(a, "cu_seqlens is empty;");
  offsets = {0, 1, 3};
  a.cu_seqlens = std::span<std::int32_t const>(offsets);
  a.final_state = state_at(7, 1);
  refuse(a, "final_state.kv has 1 slots; 2 are accepted, one a sequence;");
}

TEST_CASE_FIXTURE(fixture, "forward refuses an eps or scale that is negative or not finite") {
  for (double bad : {-1e-9, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                     -std::numeric_limits<double>::infinity()}) {
    CAPTURE(bad);
    attn = {};
    attn.normalizer.eps = bad;
    refuse(good(), "the normalizer's eps is negative or not finite;");
    attn = {};
    attn.map.scale = bad;
    refuse(good(), "the feature map's scale is negative or not finite;");
  }
  attn = {};
  attn.normalizer.eps = 0;
  attn.map.scale = 0;
  accept(good());
}

}  // namespace
}  // namespace linattn_test
