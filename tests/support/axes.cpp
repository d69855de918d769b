// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The values of each axis, and how a row of indices becomes a setup.
#include "support/axes.hpp"

#include "support/covering.hpp"

#include <cstddef>

namespace linattn_test {
namespace {

struct head_counts {
  std::int64_t heads, kv_heads;
  bool tiled, broadcast;
};

std::vector<std::int64_t> up_to(std::int64_t limit, std::vector<std::int64_t> values) {
  std::vector<std::int64_t> kept;
  for (std::int64_t value : values) {
    if (value <= limit) {
      kept.push_back(value);
    }
  }
  return kept;
}

/// A time cut into sequences: uneven, with an empty one first, in the middle and last.
std::vector<std::int64_t> cut(std::int64_t time) { return {0, time / 3, time - time / 3 - time / 7, 0, time / 7, 0}; }

}  // namespace

char const* strategy_name(int index) {
  constexpr char const* names[] = {"chunkwise<>", "parallel", "recurrent", "automatic", "chunkwise<64>", "chunkwise<7>"};
  return names[index];
}

int element_index(linattn::element_kind kind) {
  int index = 0;
  while (element_kinds[index] != kind) {
    ++index;
  }
  return index;
}

char const* element_name(linattn::element_kind kind) {
  constexpr char const* names[element_count] = {"float", "bf16", "f16", "double"};
  return names[element_index(kind)];
}

std::vector<test_case> case_table(table_limits const& limits, std::uint64_t seed) {
  auto const times = up_to(limits.longest, {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 50, 63, 64, 65, 130});
  auto const widths = up_to(limits.widest, {1, 3, 16, 64, 65, 80});
  constexpr head_counts heads[] = {{1, 1, false, false}, {3, 3, false, false}, {4, 2, false, false},
                                   {4, 2, true, false},  {3, 1, false, false}, {2, 2, false, true}};
  constexpr memory_order orders[] = {memory_order::bthd, memory_order::bhtd, memory_order::sliced,
                                     memory_order::reversed};
  constexpr state_use states[] = {state_use::none, state_use::initial,  state_use::final,
                                  state_use::both, state_use::in_place, state_use::pool};
  enum axis { strategy, element, time, width, head, order, state, layout, causal, packed, batch, denominator, eps, count };
  std::vector<int> sizes(count);
  sizes[strategy] = strategy_count;
  sizes[element] = limits.doubles ? 4 : 3;
  sizes[time] = static_cast<int>(times.size());
  sizes[width] = static_cast<int>(widths.size());
  sizes[head] = 6;
  sizes[order] = 4;
  sizes[state] = 6;
  sizes[layout] = 2;
  sizes[causal] = 2;
  sizes[packed] = 3;
  sizes[batch] = 2;
  sizes[denominator] = 2;
  sizes[eps] = 2;

  std::vector<test_case> cases;
  for (std::vector<int> const& row : covering_rows(sizes, seed)) {
    auto const at = [&](axis a) { return static_cast<std::size_t>(row[a]); };
    test_case c;
    c.strategy = row[strategy];
    c.element = element_kinds[at(element)];
    setup& s = c.axes;
    s.batch = 1 + row[batch];
    s.heads = heads[at(head)].heads;
    s.kv_heads = heads[at(head)].kv_heads;
    s.tiled = heads[at(head)].tiled;
    s.broadcast_kv = heads[at(head)].broadcast;
    s.time = times[at(time)];
    s.value_dim = widths[at(width)];
    s.causal = row[causal] == 0;
    if (row[packed] != 0) {
      s.lengths = cut(s.time);
      s.wide_offsets = row[packed] == 2;
      s.batch = 1;
    }
    s.order = orders[at(order)];
    s.state = states[at(state)];
    s.layout = row[layout] == 0 ? linattn::state_layout::feature_major : linattn::state_layout::value_major;
    s.save_denominator = row[denominator] == 0;
    s.threads = 1 + row[batch];
    s.eps = row[eps] == 0 ? 1e-6 : 0.25;
    s.seed = seed + cases.size();
    cases.push_back(c);
  }
  return cases;
}

}  // namespace linattn_test
