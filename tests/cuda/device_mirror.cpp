// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which memory a call reaches, and its copies.
#include "device_mirror.hpp"

#include "device.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace linattn_test {
namespace {

using std::int64_t;
using std::size_t;

constexpr size_t alignment = 16;  // of the widest access of a kernel
constexpr std::byte guard{0xa5};

/// Of the copy's begin, after that of the memory it lies in.
size_t lead_of(std::byte const* host) {
  return device::guard_bytes + reinterpret_cast<std::uintptr_t>(host) % alignment;
}

struct reach {
  std::byte* begin;
  std::byte* end;
};

bool empty(raw_tensor const& t) { return std::ranges::find(t.extents, 0) != t.extents.end(); }

/// From the lowest to the highest element.
reach reach_of(raw_tensor const& t, size_t bytes) {
  int64_t low = 0;
  int64_t high = 0;
  for (size_t i = 0; i < 4; ++i) {
    int64_t const far = (t.extents[i] - 1) * t.strides[i];
    (far < 0 ? low : high) += far;
  }
  auto const size = static_cast<int64_t>(bytes);
  auto* const data = static_cast<std::byte*>(t.data);
  return {data + low * size, data + (high + 1) * size};
}

/// The elements of t whose first byte is t.data on the device may be read; runs of neighbours at once.
void mark_elements(raw_tensor const& t, std::byte* data, size_t bytes, std::span<std::int32_t const> slots) {
  size_t const inner = t.strides[3] == 1 || t.strides[2] != 1 ? 3 : 2;
  size_t const outer = 5 - inner;
  bool const run = t.strides[inner] == 1;
  auto const size = static_cast<int64_t>(bytes);
  int64_t const count = slots.empty() ? t.extents[0] : static_cast<int64_t>(slots.size());
  for (int64_t i = 0; i < count; ++i) {
    int64_t const row = slots.empty() ? i : slots[static_cast<size_t>(i)];
    for (int64_t j = 0; j < t.extents[1]; ++j) {
      for (int64_t k = 0; k < t.extents[outer]; ++k) {
        int64_t const begin = row * t.strides[0] + j * t.strides[1] + k * t.strides[outer];
        for (int64_t l = 0; l < (run ? 1 : t.extents[inner]); ++l) {
          device::mark_initialised(data + (begin + l * t.strides[inner]) * size,
                                   static_cast<size_t>(run ? t.extents[inner] : 1) * bytes);
        }
      }
    }
  }
}

}  // namespace

device_mirror::device_mirror(verb_kind verb, call const& on_host, element_sizes sizes) : call_(on_host) {
  list_views(verb, sizes);
  list_buffers();
  try {
    copy_to_device();
  } catch (...) {
    release();
    throw;
  }
}

device_mirror::~device_mirror() { release(); }

void device_mirror::release() {
  for (buffer const& b : buffers_) {
    device::release(b.memory);
  }
}

void device_mirror::add(raw_tensor& tensor, size_t bytes, use how, std::span<std::int32_t const> slots) {
  if (tensor.data != nullptr && !empty(tensor)) {  // behind an empty view is nothing: any access would be a fault
    views_.push_back({tensor, bytes, how, slots, [&tensor](std::byte* copy) { tensor.data = copy; }});
  }
}

void device_mirror::add(raw_state& state, size_t bytes, use how) {
  add(state.kv, bytes, how, state.slots);
  add(state.k_sum, bytes, how, state.slots);
  if (state.kv.data != nullptr || state.k_sum.data != nullptr) {
    add(state.slots);
  }
}

void device_mirror::add(raw_parameters& parameters, size_t bytes, use how) {
  for (raw_parameter* p : {&parameters.gamma_q, &parameters.beta_q, &parameters.gamma_k, &parameters.beta_k}) {
    raw_tensor const elements{p->data, {1, 1, p->heads == 0 ? 1 : p->heads, p->size}, {0, 0, p->size, 1}};
    if (p->data != nullptr && !empty(elements)) {
      views_.push_back({elements, bytes, how, {}, [p](std::byte* copy) { p->data = copy; }});
    }
  }
}

template <class T>
void device_mirror::add(std::span<T const>& numbers) {
  if (numbers.empty()) {
    return;
  }
  auto const count = static_cast<int64_t>(numbers.size());
  // Never written through: the use says so.
  raw_tensor const elements{const_cast<T*>(numbers.data()), {1, 1, 1, count}, {0, 0, 0, 1}};
  views_.push_back({elements, sizeof(T), use::input, {}, [&numbers](std::byte* copy) {
                      numbers = {reinterpret_cast<T const*>(copy), numbers.size()};
                    }});
}

void device_mirror::list_views(verb_kind verb, element_sizes sizes) {
  auto const [narrow, wide] = sizes;
  for (raw_tensor* input : {&call_.q, &call_.k, &call_.v}) {
    add(*input, narrow, use::input);
  }
  add(call_.parameters, wide, use::input);
  bool const backward = verb == verb_kind::backward;
  add(call_.out, narrow, backward ? use::input : use::output);
  if (verb == verb_kind::step) {
    add(call_.final_state, wide, use::both);
    return;
  }
  add(call_.denominator, wide, backward ? use::input : use::output);
  add(call_.initial_state, wide, use::input);
  add(call_.offsets.narrow);
  add(call_.offsets.wide);
  if (!backward) {
    add(call_.final_state, wide, use::output);
    return;
  }
  add(call_.grad_out, narrow, use::input);
  for (raw_tensor* output : {&call_.grad_q, &call_.grad_k, &call_.grad_v}) {
    add(*output, narrow, use::output);
  }
  add(call_.grad_final_state, wide, use::input);
  add(call_.grad_initial_state, wide, use::output);
  add(call_.grads, wide, use::both);
}

/// One for each range that no other overlaps.
void device_mirror::list_buffers() {
  for (view const& v : views_) {
    auto const [begin, end] = reach_of(v.elements, v.bytes);
    buffers_.push_back({begin, end, v.how != use::input});
  }
  std::ranges::sort(buffers_, {}, &buffer::begin);
  std::vector<buffer> merged;
  for (buffer const& b : buffers_) {
    if (merged.empty() || b.begin >= merged.back().end) {
      merged.push_back(b);
      continue;
    }
    merged.back().end = std::max(merged.back().end, b.end);
    merged.back().written = merged.back().written || b.written;
  }
  buffers_ = std::move(merged);
}

void device_mirror::copy_to_device() {
  for (buffer& b : buffers_) {
    std::vector<std::byte> image(lead_of(b.begin) + b.size() + device::guard_bytes, guard);
    std::memcpy(image.data() + lead_of(b.begin), b.begin, b.size());
    b.memory = device::allocate(image.size());
    device::copy_to_device(b.memory, image.data(), image.size());
    b.copy = static_cast<std::byte*>(b.memory) + lead_of(b.begin);
  }
  for (view const& v : views_) {
    auto* const data = static_cast<std::byte*>(v.elements.data);
    buffer const& b = *std::ranges::find_if(buffers_, [&](buffer const& x) { return data >= x.begin && data < x.end; });
    std::byte* const copy = b.copy + (data - b.begin);
    if (v.how != use::output) {
      mark_elements(v.elements, copy, v.bytes, v.slots);
    }
    v.replace(copy);
  }
  for (buffer const& b : buffers_) {
    if (!b.written) {
      device::mark_readonly(b.memory);
    }
  }
}

void device_mirror::copy_back() const {
  for (buffer const& b : buffers_) {
    size_t const lead = lead_of(b.begin);
    std::vector<std::byte> image(lead + b.size() + device::guard_bytes);
    device::copy_to_host(image.data(), b.memory, image.size());
    auto const content = std::span(image).subspan(lead, b.size());
    auto const is_guard = [](std::byte x) { return x == guard; };
    if (!std::ranges::all_of(std::span(image).first(lead), is_guard) ||
        !std::ranges::all_of(std::span(image).subspan(lead + b.size()), is_guard)) {
      throw std::runtime_error("a kernel wrote next to a buffer");
    }
    if (b.written) {
      std::memcpy(b.begin, content.data(), content.size());
    } else if (std::memcmp(b.begin, content.data(), content.size()) != 0) {
      throw std::runtime_error("a kernel wrote to an input");
    }
  }
}

}  // namespace linattn_test
