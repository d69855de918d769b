// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// model.hpp: the order of the layers, forward, backward, and one token at a time.
#include "model.hpp"

#include <algorithm>
#include <utility>

#include "attention_mixer.hpp"
#include "convolution_mixer.hpp"

namespace example {
namespace {

constexpr float kDeviation = 0.02F;

void grow(buffer& array, std::size_t size) {
  if (array.size() < size) {
    array.resize(size);
  }
}

}  // namespace

model::model(model_settings settings)
    : settings_(std::move(settings)),
      parameters_(settings_.seed),
      embedding_(parameters_, settings_.vocabulary, settings_.width, kDeviation),
      final_norm_(parameters_, settings_.width) {
  for (char const kind : settings_.blocks) {
    layer_norm const norm(parameters_, settings_.width);
    if (kind == 'c') {
      blocks_.push_back(
          {norm, std::make_unique<convolution_mixer>(parameters_, settings_.width, settings_.taps, kDeviation)});
    } else {
      attention_shape const shape{settings_.heads, settings_.value_dim, settings_.eps};
      blocks_.push_back(
          {norm, std::make_unique<attention_mixer>(parameters_, settings_.make_kernel(settings_.kernel, shape),
                                                   settings_.width, shape, kDeviation)});
    }
  }
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
  grow(work.logits, rows * static_cast<std::size_t>(settings_.vocabulary));
  grow(work.grad_residual, floats);
  grow(work.grad_normal, floats);
  grow(work.scratch, scratch);
}

float* model::forward(sequence_shape shape, std::span<int const> tokens, workspace& work,
                      decoder_state* final_state) const {
  std::span<float const> const values = parameters_.values();
  prepare(shape, work);
  embedding_.look_up(values, tokens, work.residual[0].data());
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    float const* const in = work.residual[i].data();
    float* const out = work.residual[i + 1].data();
    std::copy_n(in, shape.rows() * settings_.width, out);
    blocks_[i].norm.forward(values, in, shape.rows(), work.normal[i].data(), work.statistics[i].data());
    blocks_[i].mix->forward(values, shape, work.normal[i].data(), out, work.saved[i].data(),
                            final_state == nullptr ? nullptr : (*final_state)[i].get());
  }
  final_norm_.forward(values, work.residual.back().data(), shape.rows(), work.normal.back().data(),
                      work.statistics.back().data());
  embedding_.logits(values, work.normal.back().data(), shape.rows(), work.logits.data());
  return work.logits.data();
}

double model::loss_and_gradient(sequence_shape shape, std::span<int const> tokens, std::span<int const> targets,
                                float scale, workspace& work, std::span<float> gradients) const {
  float* const logits = forward(shape, tokens, work);
  double const loss = cross_entropy(logits, targets, settings_.vocabulary, scale);
  gradient_target const target{parameters_.values(), gradients};
  float* const grad = work.grad_residual.data();
  float* const grad_normal = work.grad_normal.data();
  int const rows = shape.rows();
  embedding_.logits_backward(target, work.normal.back().data(), rows, logits, grad_normal);
  std::fill_n(grad, rows * settings_.width, 0.0F);
  final_norm_.backward(target, work.residual.back().data(), work.statistics.back().data(), rows, grad_normal, grad);
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    blocks_[i].mix->backward(target, shape, work.normal[i].data(), work.saved[i].data(), grad, grad_normal,
                             work.scratch.data());
    blocks_[i].norm.backward(target, work.residual[i].data(), work.statistics[i].data(), rows, grad_normal, grad);
  }
  embedding_.look_up_backward(target, tokens, grad);
  return loss;
}

decoder_state model::make_state(int batch) const {
  decoder_state state;
  for (block const& each : blocks_) {
    state.push_back(each.mix->make_state(batch));
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
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].norm.forward(values, residual, batch, normal, work.statistics[0].data());
    blocks_[i].mix->step(values, batch, normal, residual, *state[i]);
  }
  final_norm_.forward(values, residual, batch, normal, work.statistics[0].data());
  embedding_.logits(values, normal, batch, work.logits.data());
  return work.logits.data();
}

}  // namespace example
