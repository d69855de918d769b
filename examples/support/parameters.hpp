// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// All parameters of a model in one flat array, and the slices that its layers hold. A gradient is a second array of the
// same layout, so summing gradients and AdamW are plain loops. Not a tensor class and not a computation graph.
#pragma once

#include <cstddef>
#include <random>
#include <span>

#include "buffer.hpp"

namespace example {

/// A layer's slice of the flat array; `of` finds it in the values or in a gradient.
struct parameter {
  std::size_t offset = 0;
  std::size_t size = 0;

  float* of(std::span<float> all) const { return all.data() + offset; }
  float const* of(std::span<float const> all) const { return all.data() + offset; }
};

/// Owns the values; layers reserve their slices when they are built.
class parameter_set {
 public:
  explicit parameter_set(unsigned seed) : generator_(seed) {}

  /// A weight matrix: N(0, deviation), shrunk by weight decay.
  parameter add_normal(std::size_t size, float deviation) {
    parameter const slice = reserve(size, 0, /*decays=*/true);
    std::normal_distribution<float> normal(0, deviation);
    for (std::size_t i = 0; i < size; ++i) {
      values_[slice.offset + i] = normal(generator_);
    }
    return slice;
  }

  /// A bias or a gain: starts at `value`, never decayed.
  parameter add_constant(std::size_t size, float value) { return reserve(size, value, /*decays=*/false); }

  std::size_t size() const { return values_.size(); }
  std::span<float> values() { return values_; }
  std::span<float const> values() const { return values_; }
  /// 1 where weight decay applies, else 0.
  std::span<float const> decay_mask() const { return decay_mask_; }

 private:
  // Slices, too, start at a cache line.
  static constexpr std::size_t kAlignment = kCacheLine / sizeof(float);

  parameter reserve(std::size_t size, float value, bool decays) {
    std::size_t const offset = (values_.size() + kAlignment - 1) / kAlignment * kAlignment;
    values_.resize(offset, 0);
    values_.resize(offset + size, value);
    decay_mask_.resize(offset, 0);
    decay_mask_.resize(offset + size, decays ? 1.0F : 0.0F);
    return {offset, size};
  }

  std::mt19937 generator_;
  buffer values_;
  buffer decay_mask_;
};

/// What a layer's backward needs: the parameters and where their gradients are added.
struct gradient_target {
  std::span<float const> values;
  std::span<float> gradients;
};

}  // namespace example
