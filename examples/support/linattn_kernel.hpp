// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// attention_kernel written once for all maps, on linattn's four calls: forward, backward, final_state, step. This is
// where the examples' models meet the library.
#pragma once

#include <algorithm>
#include <linattn/linattn.hpp>
#include <vector>

#include "attention_kernel.hpp"

namespace example {

/// What of (gamma, beta) a map learns.
enum class learns { nothing, gamma, gamma_and_beta };

template <class Map, learns Learns, class Normalizer = linattn::sum_normalizer>
class linattn_kernel final : public attention_kernel {
 public:
  using layer_type = linattn::attention<Map, linattn::chunkwise<>, Normalizer>;

  explicit linattn_kernel(attention_shape shape) : shape_(shape) {}

  std::vector<float> initial_parameters() const override {
    auto const block = static_cast<std::size_t>(shape_.heads * attention_shape::head_dim);
    std::vector<float> start(block * kBlocks, 0);
    for (std::size_t i = 0; i < kBlocks; i += kBlocksPerInput) {
      std::fill_n(start.begin() + static_cast<std::ptrdiff_t>(i * block), block, 1.0F);  // gamma; beta stays 0
    }
    return start;
  }

  void forward(float const* map_parameters, sequence_shape shape, float const* qkv, float* out, float* denominator,
               mixer_state* final_state) const override {
    fused_views<float const> const in(shape_, shape, qkv);
    layer_type const layer = make_layer(map_parameters);
    if (final_state == nullptr) {
      linattn::forward(executor(), layer,
                       {.q = in.q,
                        .k = in.k,
                        .v = in.v,
                        .out = out_view(shape, out),
                        .denominator = denominator_view(shape, denominator)});
    } else {
      linattn::forward(executor(), layer,
                       {.q = in.q,
                        .k = in.k,
                        .v = in.v,
                        .out = out_view(shape, out),
                        .denominator = denominator_view(shape, denominator),
                        .final_state = dynamic_cast<state&>(*final_state).values.view()});
    }
  }

  void backward(float const* map_parameters, float* grad_map_parameters, sequence_shape shape, float const* qkv,
                float const* out, float const* denominator, float const* grad_out, float* grad_qkv) const override {
    fused_views<float const> const in(shape_, shape, qkv);
    fused_views<float> const grad(shape_, shape, grad_qkv);
    layer_type const layer = make_layer(map_parameters);
    auto const saved_out = out_view(shape, out);
    auto const saved_denominator = denominator_view(shape, denominator);
    auto const incoming = out_view(shape, grad_out);
    if constexpr (Learns == learns::nothing) {
      linattn::backward(executor(), layer,
                        {.q = in.q,
                         .k = in.k,
                         .v = in.v,
                         .out = saved_out,
                         .denominator = saved_denominator,
                         .grad_out = incoming,
                         .grad_q = grad.q,
                         .grad_k = grad.k,
                         .grad_v = grad.v});
    } else {
      linattn::backward(executor(), layer,
                        {.q = in.q,
                         .k = in.k,
                         .v = in.v,
                         .out = saved_out,
                         .denominator = saved_denominator,
                         .grad_out = incoming,
                         .grad_q = grad.q,
                         .grad_k = grad.k,
                         .grad_v = grad.v,
                         .grad_map = map_views<typename Map::gradients>(grad_map_parameters)});
    }
  }

  std::unique_ptr<mixer_state> make_state(int batch) const override {
    return std::make_unique<state>(batch, shape_.heads, shape_.value_dim);
  }

  void step(float const* map_parameters, int batch, float const* qkv, float* out,
            mixer_state& previous) const override {
    sequence_shape const shape{batch, 1};
    fused_views<float const> const in(shape_, shape, qkv);
    linattn::step(executor(), make_layer(map_parameters), dynamic_cast<state&>(previous).values.view(),
                  {.q = in.q, .k = in.k, .v = in.v, .out = out_view(shape, out)});
  }

 private:
  static constexpr std::size_t kBlocksPerInput = Learns == learns::gamma_and_beta ? 2 : 1;
  static constexpr std::size_t kBlocks = Learns == learns::nothing ? 0 : 2 * kBlocksPerInput;

  struct state final : mixer_state {
    state(int batch, int heads, int value_dim) : values{batch, heads, value_dim} {}
    linattn::host_state<Map> values;
  };

  // The models run one thread a shard of the batch, so each call stays on the thread that makes it.
  static linattn::cpu_executor executor() { return {.threads = 1}; }

  /// q, k and v are strides into the fused rows: nothing is copied.
  template <class T>
  struct fused_views {
    fused_views(attention_shape heads, sequence_shape shape, T* rows)
        : q(slice(heads, shape, rows, attention_shape::head_dim)),
          k(slice(heads, shape, rows + heads.heads * attention_shape::head_dim, attention_shape::head_dim)),
          v(slice(heads, shape, rows + 2 * heads.heads * attention_shape::head_dim, heads.value_dim)) {}

    static linattn::tensor_view<T, 4> slice(attention_shape heads, sequence_shape shape, T* first, int dim) {
      int const row = heads.fused_width();
      return {first, {shape.batch, heads.heads, shape.time, dim}, {shape.time * row, dim, row, 1}};
    }
    linattn::tensor_view<T, 4> q, k, v;
  };

  template <class T>
  linattn::tensor_view<T, 4> out_view(sequence_shape shape, T* out) const {
    return linattn::view_bthd(out, shape.batch, shape.time, shape_.heads, shape_.value_dim);
  }

  template <class T>
  linattn::tensor_view<T, 3> denominator_view(sequence_shape shape, T* data) const {
    return {data, {shape.batch, shape_.heads, shape.time}, {shape_.heads * shape.time, shape.time, 1}};
  }

  /// The map's parameters (or their gradients) as views into the flat array; what the map does not learn stays absent.
  template <class Views, class T>
  Views map_views(T* data) const {
    auto block = [&](int index) {
      int const row = attention_shape::head_dim;
      return linattn::tensor_view<T, 2>{data + index * shape_.heads * row, {shape_.heads, row}, {row, 1}};
    };
    if constexpr (Learns == learns::gamma) {
      return {.gamma_q = block(0), .gamma_k = block(1)};
    } else {
      return {.gamma_q = block(0), .beta_q = block(1), .gamma_k = block(2), .beta_k = block(3)};
    }
  }

  layer_type make_layer([[maybe_unused]] float const* map_parameters) const {
    layer_type layer;
    if constexpr (Learns != learns::nothing) {
      layer.map.parameters = map_views<decltype(layer.map.parameters)>(map_parameters);
    }
    return layer;
  }

  attention_shape shape_;
};

}  // namespace example
