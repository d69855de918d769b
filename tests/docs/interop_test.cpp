// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What docs/interop.md shows: a fused tensor, the host's own threads, the caller's memory, packed sequences, a state
// pool. Each gives the numbers of the plain call.
#include <doctest/doctest.h>

#include <linattn/linattn.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <thread>
#include <vector>

namespace {

constexpr std::int64_t batch = 2, length = 600, heads = 4, d = 16;
using attention = linattn::attention<linattn::taylor<16>>;

struct host_pool {
  int runs = 0;
};

std::vector<float> random_numbers(std::int64_t count) {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& x : numbers) { x = normal(engine); }
  return numbers;
}

/// (batch, time, 3, head, channel): q, k and v of a token beside each other.
struct fused {
  std::vector<float> qkv = random_numbers(batch * length * 3 * heads * d);

  linattn::tensor_view<float const, 4> part(int which) const {
    std::int64_t const row = 3 * heads * d;
    return {qkv.data() + which * heads * d, {batch, heads, length, d}, {length * row, d, row, 1}};
  }
  std::vector<float> plain() const {
    std::vector<float> copies[3];
    for (int which : {0, 1, 2}) {
      for (std::int64_t n = 0; n < batch * length; ++n) {
        auto const begin = qkv.begin() + (n * 3 + which) * heads * d;
        copies[which].insert(copies[which].end(), begin, begin + heads * d);
      }
    }
    std::vector<float> out(copies[0].size());
    linattn::forward(linattn::cpu_executor{.threads = 1}, attention{},
                     {.q = linattn::view_bthd(copies[0].data(), batch, length, heads, d),
                      .k = linattn::view_bthd(copies[1].data(), batch, length, heads, d),
                      .v = linattn::view_bthd(copies[2].data(), batch, length, heads, d),
                      .out = linattn::view_bthd(out.data(), batch, length, heads, d)});
    return out;
  }
};

}  // namespace

TEST_CASE("slices of a fused tensor, on the host's threads, in the caller's memory") {
  fused const x;
  std::vector<float> out(static_cast<std::size_t>(batch * length * heads * d));
  host_pool pool;
  attention const attn{};

  attention::forward_args const args{.q = x.part(0), .k = x.part(1), .v = x.part(2),
                                     .out = linattn::view_bthd(out.data(), batch, length, heads, d)};
  linattn::cpu_executor exec{.threads = 3};
  exec.tasks = {.run = [](void* context, int workers, void (*body)(void*, int), void* data) {
                  ++static_cast<host_pool*>(context)->runs;
                  std::vector<std::jthread> threads;
                  for (int i = 0; i < workers; ++i) { threads.emplace_back(body, data, i); }
                },
                .context = &pool};
  std::vector<std::byte> memory(linattn::workspace_bytes(exec, attn, args));
  exec.workspace = memory;
  linattn::forward(exec, attn, args);

  CHECK(pool.runs > 0);
  CHECK(out == x.plain());
}

TEST_CASE("packed sequences with states in a pool") {
  fused const x;
  std::vector<float> out(static_cast<std::size_t>(length * heads * d)), again(out.size());
  linattn::host_state<linattn::taylor<16>> pool{5, heads, d};
  auto const row = [&](int which) {
    auto view = x.part(which);
    view.extents[0] = 1;
    return view;
  };
  auto const o = linattn::view_thd(out.data(), length, heads, d);

  std::array<std::int32_t, 4> const offsets{0, 250, 250, length};  // three sequences, one of them empty
  std::array<std::int32_t, 3> const slots{4, 0, 2};
  auto states = pool.view();
  states.slots = slots;
  linattn::forward(linattn::cpu_executor{}, attention{},
                   {.q = row(0), .k = row(1), .v = row(2), .out = o, .final_state = states, .cu_seqlens = std::span(offsets)});

  // The last sequence by itself.
  linattn::host_state<linattn::taylor<16>> alone{1, heads, d};
  auto const tail = [&](auto view) {
    view.data += 250 * view.strides[2];
    view.extents[2] = length - 250;
    return view;
  };
  linattn::forward(linattn::cpu_executor{}, attention{},
                   {.q = tail(row(0)), .k = tail(row(1)), .v = tail(row(2)),
                    .out = tail(linattn::view_thd(again.data(), length, heads, d)), .final_state = alone.view()});
  for (std::size_t i = 250 * heads * d; i < out.size(); ++i) { CHECK(out[i] == again[i]); }
  for (std::size_t i = 0; i < alone.kv_data().size(); ++i) {
    CHECK(pool.kv_data()[2 * alone.kv_data().size() + i] == alone.kv_data()[i]);
    CHECK(pool.kv_data()[0 * alone.kv_data().size() + i] == 0);  // the empty sequence's
    CHECK(pool.kv_data()[1 * alone.kv_data().size() + i] == 0);  // nobody's
  }
}
