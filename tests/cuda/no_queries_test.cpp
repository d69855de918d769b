// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Keys without a query head: there is nothing to write but the final state, which holds every key.
#include <linattn/linattn.hpp>

#include <linattn/cuda/cuda.hpp>

#include "emu/executor.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <vector>

namespace {

using map = linattn::taylor<3>;

float* to_device(std::vector<float> const& numbers) {
  auto* const memory = static_cast<float*>(linattn::emu::allocate(numbers.size() * sizeof(float)));
  std::memcpy(memory, numbers.data(), numbers.size() * sizeof(float));
  linattn::emu::mark_initialised(memory, numbers.size() * sizeof(float));
  return memory;
}

TEST_CASE_TEMPLATE("without query heads the final state still holds every key", Strategy, linattn::recurrent,
                   linattn::parallel, linattn::chunkwise<>) {
  constexpr int batch = 2, kv_heads = 2, time = 70, value_dim = 5;
  std::vector<float> const ones(std::size_t{batch} * time * kv_heads * value_dim, 1.0F);
  float* const k = to_device(ones);
  float* const v = to_device(ones);
  auto* const kv = static_cast<float*>(linattn::emu::allocate(batch * kv_heads * map::feature_dim * value_dim * 4));
  auto* const k_sum = static_cast<float*>(linattn::emu::allocate(batch * kv_heads * map::feature_dim * 4));
  using attention = linattn::attention<map, Strategy>;
  linattn::forward(linattn::cuda_executor<>{}, attention{},
                   {.q = {k, {batch, 0, time, 3}, {0, 0, 0, 1}},
                    .k = linattn::view_bthd<float const>(k, batch, time, kv_heads, 3),
                    .v = linattn::view_bthd<float const>(v, batch, time, kv_heads, value_dim),
                    .out = {v, {batch, 0, time, value_dim}, {0, 0, value_dim, 1}},
                    .final_state = linattn::view_state<map>(kv, k_sum, batch, kv_heads, value_dim)});
  for (int slot = 0; slot < batch * kv_heads; ++slot) {
    CHECK(k_sum[slot * map::feature_dim] == 70.0F);  // the constant feature, once a key
    CHECK(kv[slot * map::feature_dim * value_dim] == 70.0F);
  }
  for (void* memory : {static_cast<void*>(k), static_cast<void*>(v), static_cast<void*>(kv),
                       static_cast<void*>(k_sum)}) {
    linattn::emu::release(memory);
  }
}

}  // namespace
