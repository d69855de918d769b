// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Empty tensors may be null, and dimensions of one element may have any stride. Under UBSan this also shows that no
// address is computed that does not exist.

#include <linattn/linattn.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace {

using map = linattn::taylor<3>;
using based = linattn::attention<map>;
using recurrent_based = linattn::attention<map, linattn::recurrent>;

/// An empty view whose strides are not 0: offsets would show.
linattn::tensor_view<float, 4> null_view(std::int64_t batch, std::int64_t heads, std::int64_t time,
                                         std::int64_t channels) {
  return {nullptr, {batch, heads, time, channels}, {64, 16, 4, 1}};
}

TEST_CASE_TEMPLATE("values of no columns may be null: the sums and the query gradients are still made", Attention, based,
                   recurrent_based) {
  std::vector<float> rows(2 * 40 * 2 * 3, 1.0F);
  std::vector<float> grad_q(rows.size(), 7.0F);
  std::vector<float> grad_k(rows.size(), 7.0F);
  linattn::host_state<map> state(2, 2, 0);
  auto const in = linattn::view_bthd(rows.data(), 2, 40, 2, 3);
  linattn::forward(linattn::cpu_executor{}, Attention{},
                   {.q = in, .k = in, .v = null_view(2, 2, 40, 0), .out = null_view(2, 2, 40, 0),
                    .final_state = state.view()});
  CHECK(state.k_sum_data()[0] == 40.0F);  // the constant feature, once a key
  linattn::backward(linattn::cpu_executor{}, Attention{},
                    {.q = in, .k = in, .v = null_view(2, 2, 40, 0), .grad_out = null_view(2, 2, 40, 0),
                     .grad_q = linattn::view_bthd(grad_q.data(), 2, 40, 2, 3),
                     .grad_k = linattn::view_bthd(grad_k.data(), 2, 40, 2, 3), .grad_v = null_view(2, 2, 40, 0)});
  CHECK(grad_q == std::vector<float>(rows.size(), 0.0F));
  CHECK(grad_k == std::vector<float>(rows.size(), 0.0F));
}

TEST_CASE_TEMPLATE("sequences of no tokens may be null: the state passes through", Attention, based, recurrent_based) {
  linattn::host_state<map> first(2, 2, 5);
  linattn::host_state<map> last(2, 2, 5);
  for (float& x : first.kv_data()) {
    x = 3.0F;
  }
  linattn::forward(linattn::cpu_executor{}, Attention{},
                   {.q = null_view(2, 2, 0, 3), .k = null_view(2, 2, 0, 3), .v = null_view(2, 2, 0, 5),
                    .out = null_view(2, 2, 0, 5), .initial_state = first.view(), .final_state = last.view()});
  CHECK(last.kv_data()[7] == 3.0F);
  linattn::backward(linattn::cpu_executor{}, Attention{},
                    {.q = null_view(2, 2, 0, 3), .k = null_view(2, 2, 0, 3), .v = null_view(2, 2, 0, 5),
                     .grad_out = null_view(2, 2, 0, 5), .grad_q = null_view(2, 2, 0, 3),
                     .grad_k = null_view(2, 2, 0, 3), .grad_v = null_view(2, 2, 0, 5),
                     .grad_final_state = first.view(), .grad_initial_state = last.view()});
  CHECK(last.kv_data()[7] == 3.0F);
}

TEST_CASE_TEMPLATE("keys without a query head have gradients of zero, also beside what a forward saved", Attention, based,
                   recurrent_based) {
  // One block of tokens.
  std::vector<float> numbers(20 * 2 * 5, 1.0F);
  std::vector<float> grad_k(20 * 2 * 3, 7.0F);
  std::vector<float> grad_v(20 * 2 * 5, 7.0F);
  float* const some = numbers.data();  // empty, not null: a forward's outputs that were saved
  linattn::backward(linattn::cpu_executor{}, Attention{},
                    {.q = {some, {1, 0, 20, 3}, {0, 0, 3, 1}},
                     .k = linattn::view_bthd(some, 1, 20, 2, 3),
                     .v = linattn::view_bthd(some, 1, 20, 2, 5),
                     .out = {some, {1, 0, 20, 5}, {0, 0, 5, 1}},
                     .denominator = {some, {1, 0, 20}, {0, 0, 1}},
                     .grad_out = {some, {1, 0, 20, 5}, {0, 0, 5, 1}},
                     .grad_q = null_view(1, 0, 20, 3),
                     .grad_k = linattn::view_bthd(grad_k.data(), 1, 20, 2, 3),
                     .grad_v = linattn::view_bthd(grad_v.data(), 1, 20, 2, 5)});
  CHECK(grad_k == std::vector<float>(grad_k.size(), 0.0F));
  CHECK(grad_v == std::vector<float>(grad_v.size(), 0.0F));
}

TEST_CASE("a step with values of no columns may have null values") {
  std::vector<float> rows(2 * 2 * 3, 1.0F);
  linattn::host_state<map> state(2, 2, 0);
  auto const in = linattn::view_bthd(rows.data(), 2, 1, 2, 3);
  linattn::step(linattn::cpu_executor{}, based{}, state.view(),
                {.q = in, .k = in, .v = null_view(2, 2, 1, 0), .out = null_view(2, 2, 1, 0)});
  CHECK(state.k_sum_data()[0] == 1.0F);
}

TEST_CASE("the stride of a dimension of one element does not matter, not even for a prefetch") {
  std::vector<float> row{1.0F, 1.0F, 1.0F};
  std::vector<float> out{7.0F};
  std::int64_t const far = std::int64_t{1} << 61;
  linattn::tensor_view<float, 4> const in{row.data(), {1, 1, 1, 3}, {far, far, far, 1}};
  linattn::forward(linattn::cpu_executor{}, based{},
                   {.q = in, .k = in, .v = {row.data(), {1, 1, 1, 1}, {far, far, far, 1}},
                    .out = {out.data(), {1, 1, 1, 1}, {far, far, far, 1}}});
  CHECK(out[0] == doctest::Approx(1.0));
}

}  // namespace
