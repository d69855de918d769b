// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Memory orders, and the states and parameters of a problem in guarded memory.
#include "support/tensor.hpp"

#include "support/parameter_memory.hpp"
#include "support/state_memory.hpp"

namespace linattn_test {

using std::int64_t;
using std::size_t;

tensor::tensor(linattn::element_kind kind, memory_order order, int64_t batch, int64_t heads, int64_t time,
               int64_t channels)
    : extents_{batch, heads, time, channels} {
  int64_t const slice = heads * channels + channels + 3;
  int64_t size = batch * heads * time * channels;
  switch (order) {
    case memory_order::bthd: strides_ = {time * heads * channels, channels, heads * channels, 1}; break;
    case memory_order::bhtd: strides_ = {heads * time * channels, time * channels, channels, 1}; break;
    case memory_order::sliced:
      strides_ = {time * slice, channels, slice, 1};
      origin_ = 3;
      size = batch * time * slice + origin_;
      break;
    case memory_order::reversed:
      strides_ = {heads * time * channels, time * channels, -channels, 1};
      origin_ = time > 0 ? (time - 1) * channels : 0;
      break;
    case memory_order::broadcast:
      strides_ = {time * channels, 0, channels, 1};
      size = batch * time * channels;
      break;
  }
  memory_ = guarded_buffer(kind, static_cast<size_t>(size));
  visit([&](int64_t at) { memory_.own(at); });
}

raw_tensor tensor::view() {
  return {memory_.data() + origin_ * static_cast<int64_t>(memory_.element_bytes()), extents_, strides_};
}

void tensor::fill(std::vector<double> const& dense) {
  size_t i = 0;
  visit([&](int64_t at) { memory_.set(at, dense.at(i++)); });
}

std::vector<double> tensor::gather() const {
  std::vector<double> dense;
  visit([&](int64_t at) { dense.push_back(memory_.get(at)); });
  return dense;
}

state_memory::state_memory(linattn::element_kind kind, int feature_dim, int64_t sequences, int64_t kv_heads,
                           int64_t value_dim, linattn::state_layout layout, bool pool)
    : kv_heads_(kv_heads), features_(feature_dim), value_dim_(value_dim), layout_(layout) {
  for (int64_t n = 0; n < sequences; ++n) {
    own_.push_back(pool ? 2 * (sequences - n) - 1 : n);  // odd ones, last first
    if (pool) {
      slots_.push_back(static_cast<std::int32_t>(own_.back()));
    }
  }
  slot_count_ = pool ? 2 * sequences + 1 : sequences;
  auto const rows = static_cast<size_t>(slot_count_ * kv_heads_ * features_);
  kv_ = guarded_buffer(kind, rows * static_cast<size_t>(value_dim));
  k_sum_ = guarded_buffer(kind, rows);
  visit([&](int64_t at) { kv_.own(at); });
  visit_rows([&](int64_t at) { k_sum_.own(at); });
}

raw_state state_memory::view() {
  bool const feature_major = layout_ == linattn::state_layout::feature_major;
  int64_t const head = features_ * value_dim_;
  return {{kv_.data(),
           {slot_count_, kv_heads_, features_, value_dim_},
           {kv_heads_ * head, head, feature_major ? value_dim_ : 1, feature_major ? 1 : features_}},
          {k_sum_.data(), {slot_count_, kv_heads_, features_, 1}, {kv_heads_ * features_, features_, 1, 1}},
          slots_};
}

void state_memory::fill(std::vector<double> const& kv, std::vector<double> const& k_sum) {
  size_t i = 0;
  visit([&](int64_t at) { kv_.set(at, kv.at(i++)); });
  i = 0;
  visit_rows([&](int64_t at) { k_sum_.set(at, k_sum.at(i++)); });
}

std::vector<double> state_memory::kv() const {
  std::vector<double> dense;
  visit([&](int64_t at) { dense.push_back(kv_.get(at)); });
  return dense;
}

std::vector<double> state_memory::k_sum() const {
  std::vector<double> dense;
  visit_rows([&](int64_t at) { dense.push_back(k_sum_.get(at)); });
  return dense;
}

parameter_memory::parameter_memory(linattn::element_kind kind, std::vector<double> const& dense,
                                   parameter_plan const& plan, int head_dim, double start)
    : head_dim_(head_dim), rank_(plan.rank) {
  size_t const size = dense.empty() ? 0 : (rank_ == 1 ? static_cast<size_t>(head_dim) : dense.size());
  value_ = guarded_buffer(kind, size);
  grad_ = guarded_buffer(kind, size);
  value_.own_all();
  grad_.own_all();
  for (size_t i = 0; i < size; ++i) {
    value_.set(static_cast<int64_t>(i), dense[i]);
    grad_.set(static_cast<int64_t>(i), start);
  }
}

raw_parameter parameter_memory::make(guarded_buffer& buffer) const {
  auto const size = static_cast<int64_t>(buffer.size());
  if (size == 0) {
    return {};
  }
  return {buffer.data(), rank_ == 1 ? 0 : size / head_dim_, head_dim_};
}

std::vector<double> parameter_memory::gather() const {
  std::vector<double> numbers;
  for (size_t i = 0; i < grad_.size(); ++i) {
    numbers.push_back(grad_.get(static_cast<int64_t>(i)));
  }
  return numbers;
}

}  // namespace linattn_test
