// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elements of any type in guarded memory.
#include "support/guarded_buffer.hpp"

#include "support/random.hpp"

#include <cstring>

namespace linattn_test {
namespace {

using linattn::element_kind;
using std::size_t;

constexpr size_t bytes_of(element_kind kind) {
  return kind == element_kind::float64 ? 8 : (kind == element_kind::float32 ? 4 : 2);
}

/// A NaN with a payload that no computation produces, little-endian.
std::uint64_t poison_bits(element_kind kind) {
  switch (kind) {
    case element_kind::float64: return 0x7ff8badc0ffee0ddU;
    case element_kind::float32: return 0x7fcadadaU;
    case element_kind::bfloat16:
    case element_kind::float16: return 0x7fe5U;
  }
  return 0;
}

template <class E>
double read(std::byte const* at) {
  E element{};
  std::memcpy(static_cast<void*>(&element), at, sizeof(E));
  return to_double(element);
}

template <class E>
void write(std::byte* at, double number) {
  E const element = from_double<E>(number);
  std::memcpy(at, &element, sizeof(E));
}

}  // namespace

guarded_buffer::guarded_buffer(element_kind kind, size_t size)
    : kind_(kind), element_bytes_(bytes_of(kind)), memory_((size + 2 * guard) * element_bytes_), owned_(size, char{0}) {
  std::uint64_t const bits = poison_bits(kind);
  for (size_t i = 0; i < memory_.size(); i += element_bytes_) {
    std::memcpy(memory_.data() + i, &bits, element_bytes_);
  }
}

double guarded_buffer::get(std::int64_t offset) const {
  std::byte const* const at = data() + offset * static_cast<std::int64_t>(element_bytes_);
  switch (kind_) {
    case element_kind::float64: return read<double>(at);
    case element_kind::float32: return read<float>(at);
    case element_kind::bfloat16: return read<linattn::bf16>(at);
    case element_kind::float16: return read<linattn::f16>(at);
  }
  return 0;
}

void guarded_buffer::set(std::int64_t offset, double number) {
  std::byte* const at = data() + offset * static_cast<std::int64_t>(element_bytes_);
  switch (kind_) {
    case element_kind::float64: return write<double>(at, number);
    case element_kind::float32: return write<float>(at, number);
    case element_kind::bfloat16: return write<linattn::bf16>(at, number);
    case element_kind::float16: return write<linattn::f16>(at, number);
  }
}

void guarded_buffer::poison() {
  std::uint64_t const bits = poison_bits(kind_);
  for (size_t i = 0; i < size(); ++i) {
    if (owned_[i] != 0) {
      std::memcpy(data() + i * element_bytes_, &bits, element_bytes_);
    }
  }
}

bool guarded_buffer::is_poison(size_t index) const {
  std::uint64_t const bits = poison_bits(kind_);
  return std::memcmp(memory_.data() + index * element_bytes_, &bits, element_bytes_) == 0;
}

bool guarded_buffer::canaries_intact() const {
  for (size_t i = 0; i < size() + 2 * guard; ++i) {
    bool const inside = i >= guard && i < guard + size() && owned_[i - guard] != 0;
    if (!inside && !is_poison(i)) {
      return false;
    }
  }
  return true;
}

bool guarded_buffer::untouched() const {
  for (size_t i = 0; i < size() + 2 * guard; ++i) {
    if (!is_poison(i)) {
      return false;
    }
  }
  return true;
}

}  // namespace linattn_test
