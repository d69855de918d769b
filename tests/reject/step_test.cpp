// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What step() and host_state refuse, with which words; and the nearest thing that they accept.
#include "recording_executor.hpp"

#include <array>
#include <limits>

namespace linattn_test {
namespace {

using args = based::step_args;

struct fixture : good_call<based, pieces> {
  linattn::state_view<based::map_type> state = state_at(5);

  void refuse(args const& a, std::string const& beginning) {
    check_refused(linattn::validate(attn, state, a), "linattn::step: " + beginning,
                  [&](auto exec) { linattn::step(exec, attn, state, a); });
  }
  void accept(args const& a) {
    check_accepted(linattn::validate(attn, state, a), [&](auto exec) { linattn::step(exec, attn, state, a); });
  }
};

TEST_CASE_FIXTURE(fixture, "step accepts one token of every row, and no row at all") {
  accept(good_step());
  args a = good_step();
  a.q.extents[0] = a.k.extents[0] = a.v.extents[0] = a.out.extents[0] = 0;
  state = state_at(5, 0);
  accept(a);
}

TEST_CASE_FIXTURE(fixture, "step refuses more or less than one token") {
  args a = good_step();
  a.q = linattn::view_bthd(memory[0], batch, 2, heads, head_dim);
  a.k = linattn::view_bthd(memory[1], batch, 2, kv_heads, head_dim);
  a.v = linattn::view_bthd(memory[2], batch, 2, kv_heads, value_dim);
  a.out = linattn::view_bthd(memory[3], batch, 2, heads, value_dim);
  refuse(a, "q has time 2; a step takes 1 token; use forward with initial_state and final_state");
}

TEST_CASE_FIXTURE(fixture, "step refuses an absent state and one of a wrong shape") {
  state = {};
  refuse(good_step(), "state.kv has extent 0");
  state = state_at(5, batch + 1);
  refuse(good_step(), "state.kv has 3 slots; 2 are accepted,");
  state = linattn::view_state<based::map_type>(memory[5], memory[6], batch, 1, value_dim);
  refuse(good_step(), "state.kv has extent 1 in dimension 1");
  state = linattn::view_state<based::map_type>(memory[5], memory[5] + 3, batch, kv_heads, value_dim);
  refuse(good_step(), "state.kv overlaps state.k_sum;");
  state = linattn::view_state<based::map_type>(memory[3], memory[6], batch, kv_heads, value_dim);
  refuse(good_step(), "state.kv overlaps out;");
}

TEST_CASE_FIXTURE(fixture, "step refuses slots that are out of range or owned twice") {
  std::vector<std::int32_t> slots{6, 2};
  state = linattn::view_state<based::map_type>(memory[5], memory[8], 7, kv_heads, value_dim);
  state.slots = slots;
  accept(good_step());
  slots = {7, 2};
  check_verb_refuses("linattn::step: slot index 7 of row 0; slots 0 to 6 are there;",
                     [&](auto exec) { linattn::step(exec, attn, state, good_step()); });
  slots = {2, 2};
  check_verb_refuses("linattn::step: rows 0 and 1 both own slot 2;",
                     [&](auto exec) { linattn::step(exec, attn, state, good_step()); });
}

TEST_CASE_FIXTURE(fixture, "step refuses what forward refuses of q, k, v and out") {
  args a = good_step();
  a.k.extents[0] = 1;
  refuse(a, "k has extent 1 in dimension 0");
  a = good_step();
  a.out.data = memory[0];
  refuse(a, "out overlaps q;");
  a = good_step();
  a.v.data = nullptr;
  refuse(a, "v is null,");
  attn.normalizer.eps = -1;
  refuse(good_step(), "the normalizer's eps is negative or not finite;");
}

TEST_CASE("host_state refuses negative and overflowing sizes before it allocates") {
  using state = linattn::host_state<linattn::taylor<16>>;
  constexpr std::int64_t huge = (std::numeric_limits<std::int64_t>::max)();
  std::string const beginning = "linattn::host_state: batch ";
  for (auto const& sizes : {std::array<std::int64_t, 3>{-1, 1, 1}, {1, -1, 1}, {1, 1, -1}, {huge, huge, 1},
                            {1, 1, huge}, {std::int64_t{1} << 31, std::int64_t{1} << 31, 1}}) {
    CAPTURE(sizes[0]);
    CAPTURE(sizes[1]);
    CAPTURE(sizes[2]);
    try {
      state const refused(sizes[0], sizes[1], sizes[2]);
      CHECK_MESSAGE(false, "accepted");
    } catch (linattn::shape_error const& error) {
      CHECK(std::string(error.what()).find(beginning) == 0);
    }
  }
  CHECK_NOTHROW(state(0, 1, 1));
}

}  // namespace
}  // namespace linattn_test
