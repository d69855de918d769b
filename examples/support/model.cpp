// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// model.hpp: the order of the layers, forward, backward, and one token at a time.
#include "model.hpp"

#include <algorithm>
#include <utility>

#include "attention_mixer.hpp"
#include "convolution_mixer.hpp"
#include "selective_mixer.hpp"
#include "time_mixer.hpp"

namespace example {
namespace {

constexpr float kDeviation = 0.02F;  // of embeddings
constexpr std::string_view kSoftmax = "softmax";
constexpr std::string_view kSelective = "mamba";
constexpr std::string_view kTimeMixing = "rwkv";

void grow(buffer& array, std::size_t size) {
  if (array.size() < size) {
    array.resize(size);
  }
}

}  // namespace

std::vector<std::string_view> mixer_names() {
  auto const kernels = attention_kernel_names();
  std::vector<std::string_view> names(kernels.begin(), kernels.end());
  names.insert(names.end(), {kSelective, kTimeMixing});
  return names;
}

std::size_t decoder_state::bytes() const {
  std::size_t all = 0;
  for (auto const& each : mixers) {
    all += each->bytes();
  }
  return all;
}

model::model(model_settings settings)
    : settings_(std::move(settings)),
      parameters_(settings_.seed),
      embedding_(parameters_, settings_.vocabulary, settings_.width, kDeviation),
      positions_(parameters_.add_normal(static_cast<std::size_t>(settings_.positions * settings_.width), kDeviation)),
      final_norm_(parameters_, settings_.width) {
  for (char const kind : settings_.blocks) {
    layer_norm const norm(parameters_, settings_.width);
    blocks_.push_back({norm, make_mixer(kind)});
  }
}

std::unique_ptr<mixer> model::make_mixer(char kind) {
  int const width = settings_.width;
  float const deviation = settings_.deviation;
  if (kind == 'c') {
    return std::make_unique<convolution_mixer>(parameters_, width, settings_.taps, deviation);
  }
  if (settings_.kernel == kSelective) {
    return std::make_unique<selective_mixer>(parameters_, width, deviation);
  }
  if (settings_.kernel == kTimeMixing) {
    return std::make_unique<time_mixer>(parameters_, width, deviation);
  }
  attention_shape shape{settings_.heads, settings_.value_dim, settings_.eps};
  shape.form_by_length = settings_.form_by_length;
  if (settings_.kernel == kSoftmax) {
    shape.key_dim = settings_.softmax_key_dim;
  }
  return std::make_unique<attention_mixer>(parameters_, settings_.make_kernel(settings_.kernel, shape), width, shape,
                                           deviation);
}

void model::prepare(sequence_shape shape, workspace& work) const {
  auto const rows = static_cast<std::size_t>(shape.rows());
  auto const floats = rows * static_cast<std::size_t>(settings_.width);
  std::size_t scratch = 0;
  for (auto* buffers : {&work.residual, &work.normal, &work.statistics, &work.saved}) {
    buffers->resize(blocks_.size() + 1);
  }
  for (std::size_t i = 0; i <= blocks_.size(); ++i) {
    grow(work.residual[i], floats);
    grow(work.normal[i], floats);
    grow(work.statistics[i], 2 * rows);
    if (i < blocks_.size()) {
      grow(work.saved[i], blocks_[i].mix->saved_size(shape));
      scratch = std::max(scratch, blocks_[i].mix->scratch_size(shape));
    }
  }
  grow(work.grad_residual, floats);
  grow(work.grad_normal, floats);
  grow(work.scratch, scratch);
}

/// residual += the vectors of positions first, first + 1, ... of each sequence.
void model::add_positions(int rows, int time, int first, float* residual) const {
  if (positions_.size == 0) {
    return;
  }
  float const* const table = positions_.of(parameters_.values());
  for (int row = 0; row < rows; ++row) {
    float const* __restrict const position = table + (first + row % time) * settings_.width;
    float* __restrict const to = residual + row * settings_.width;
    for (int c = 0; c < settings_.width; ++c) {
      to[c] += position[c];
    }
  }
}

/// From the tokens to the last residual.
void model::forward_blocks(sequence_shape shape, std::span<int const> tokens, workspace& work,
                           decoder_state* final_state) const {
  std::span<float const> const values = parameters_.values();
  prepare(shape, work);
  embedding_.look_up(values, tokens, work.residual[0].data());
  add_positions(shape.rows(), shape.time, 0, work.residual[0].data());
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    float const* const in = work.residual[i].data();
    float* const out = work.residual[i + 1].data();
    std::copy_n(in, shape.rows() * settings_.width, out);
    blocks_[i].norm.forward(values, in, shape.rows(), work.normal[i].data(), work.statistics[i].data());
    blocks_[i].mix->forward(values, shape, work.normal[i].data(), out, work.saved[i].data(),
                            final_state == nullptr ? nullptr : final_state->mixers[i].get());
  }
  if (final_state != nullptr) {
    final_state->position = shape.time;
  }
}

float* model::logits_of(float const* residual, int rows, workspace& work) const {
  grow(work.logits, static_cast<std::size_t>(rows) * static_cast<std::size_t>(settings_.vocabulary));
  final_norm_.forward(parameters_.values(), residual, rows, work.normal.back().data(), work.statistics.back().data());
  embedding_.logits(parameters_.values(), work.normal.back().data(), rows, work.logits.data());
  return work.logits.data();
}

float* model::forward(sequence_shape shape, std::span<int const> tokens, workspace& work,
                      decoder_state* final_state) const {
  forward_blocks(shape, tokens, work, final_state);
  return logits_of(work.residual.back().data(), shape.rows(), work);
}

float* model::forward_targets(sequence_shape shape, std::span<int const> tokens, std::span<int const> targets,
                              workspace& work) const {
  forward_blocks(shape, tokens, work, nullptr);
  auto const width = static_cast<std::size_t>(settings_.width);
  work.targets.clear();
  work.target_rows.clear();
  grow(work.picked, work.residual.back().size());
  for (int row = 0; row < shape.rows(); ++row) {
    int const target = targets[static_cast<std::size_t>(row)];
    if (target >= 0) {
      std::copy_n(work.residual.back().data() + row * settings_.width, width,
                  work.picked.data() + work.targets.size() * width);
      work.targets.push_back(target);
      work.target_rows.push_back(row);
    }
  }
  return logits_of(work.picked.data(), static_cast<int>(work.targets.size()), work);
}

double model::loss_and_gradient(sequence_shape shape, std::span<int const> tokens, std::span<int const> targets,
                                float scale, workspace& work, std::span<float> gradients) const {
  float* const logits = forward_targets(shape, tokens, targets, work);
  double const loss = cross_entropy(logits, work.targets, settings_.vocabulary, scale);
  gradient_target const target{parameters_.values(), gradients};
  float* const grad = work.grad_residual.data();
  float* const grad_normal = work.grad_normal.data();
  auto const count = static_cast<int>(work.targets.size());
  int const width = settings_.width;
  grow(work.grad_picked, work.picked.size());
  embedding_.logits_backward(target, work.normal.back().data(), count, logits, grad_normal);
  std::fill_n(work.grad_picked.data(), count * width, 0.0F);
  final_norm_.backward(target, work.picked.data(), work.statistics.back().data(), count, grad_normal,
                       work.grad_picked.data());
  std::fill_n(grad, shape.rows() * width, 0.0F);
  for (int i = 0; i < count; ++i) {
    std::copy_n(work.grad_picked.data() + i * width, width,
                grad + work.target_rows[static_cast<std::size_t>(i)] * width);
  }
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    blocks_[i].mix->backward(target, shape, work.normal[i].data(), work.saved[i].data(), grad, grad_normal,
                             work.scratch.data());
    blocks_[i].norm.backward(target, work.residual[i].data(), work.statistics[i].data(), shape.rows(), grad_normal,
                             grad);
  }
  embedding_.look_up_backward(target, tokens, grad);
  if (positions_.size != 0) {
    for (int b = 0; b < shape.batch; ++b) {
      float const* __restrict const from = grad + b * shape.time * width;
      float* __restrict const to = positions_.of(gradients);
      for (int i = 0; i < shape.time * width; ++i) {
        to[i] += from[i];
      }
    }
  }
  return loss;
}

decoder_state model::make_state(int batch) const {
  decoder_state state;
  for (block const& each : blocks_) {
    state.mixers.push_back(each.mix->make_state(batch));
  }
  return state;
}

float* model::step(std::span<int const> tokens, decoder_state& state, workspace& work) const {
  std::span<float const> const values = parameters_.values();
  auto const batch = static_cast<int>(tokens.size());
  prepare({batch, 1}, work);
  float* const residual = work.residual[0].data();
  float* const normal = work.normal[0].data();
  embedding_.look_up(values, tokens, residual);
  add_positions(batch, 1, state.position, residual);
  state.position += 1;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].norm.forward(values, residual, batch, normal, work.statistics[0].data());
    blocks_[i].mix->step(values, batch, normal, residual, *state.mixers[i]);
  }
  return logits_of(residual, batch, work);
}

}  // namespace example
