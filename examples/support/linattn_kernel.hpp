// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// attention_kernel written once for all maps and executors, on linattn's four calls: forward, backward, final_state,
// step. This is where the examples' models meet the library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <linattn/linattn.hpp>
#include <vector>

#include "attention_kernel.hpp"

namespace example {

/// What of (gamma, beta) a map learns.
enum class learns { nothing, gamma, gamma_and_beta };

/// A Device says where the calls run, and makes what they take of the models' arrays, which are the host's: an `input`
/// is read, an `output` written, a `sum` added to; the host has both again when they are destroyed. Here: the arrays
/// themselves.
struct on_cpu {
  template <class T>
  struct array {
    array(T* host, std::size_t /*size*/) : data(host) {}
    T* data;
  };
  using input = array<float const>;
  using output = array<float>;
  using sum = array<float>;
  template <class Map>
  using state = linattn::host_state<Map>;

  // The models run one thread a shard of the batch, so each call stays on the thread that makes it.
  static linattn::cpu_executor executor() { return {.threads = 1}; }
};

template <class Map, learns Learns, class Normalizer = linattn::sum_normalizer, class Device = on_cpu,
          class Strategy = linattn::chunkwise<>>
class linattn_kernel final : public attention_kernel {
 public:
  using layer_type = linattn::attention<Map, Strategy, Normalizer>;

  explicit linattn_kernel(attention_shape shape) : shape_(shape) {}

  std::vector<float> initial_parameters() const override {
    std::size_t const block = block_size();
    std::vector<float> start(block * kBlocks, 0);
    for (std::size_t i = 0; i < kBlocks; i += kBlocksPerInput) {
      std::fill_n(start.begin() + static_cast<std::ptrdiff_t>(i * block), block, 1.0F);  // gamma; beta stays 0
    }
    return start;
  }

  void forward(float const* map_parameters, sequence_shape shape, float const* qkv, float* out, float* denominator,
               mixer_state* final_state) const override {
    input const parameters(map_parameters, kBlocks * block_size());
    input const rows(qkv, size(shape, shape_.fused_width()));
    output const attended(out, size(shape, shape_.out_width()));
    output const sums(denominator, size(shape, shape_.heads));
    fused_views<float const> const in(shape_, shape, rows.data);
    linattn::forward(Device::executor(), make_layer(parameters.data),
                     {.q = in.q,
                      .k = in.k,
                      .v = in.v,
                      .out = out_view(shape, attended.data),
                      .denominator = linattn::view_bht(sums.data, shape.batch, shape_.heads, shape.time),
                      .final_state = view_of(final_state)});
  }

  void backward(float const* map_parameters, float* grad_map_parameters, sequence_shape shape, float const* qkv,
                float const* out, float const* denominator, float const* grad_out, float* grad_qkv) const override {
    input const parameters(map_parameters, kBlocks * block_size());
    input const rows(qkv, size(shape, shape_.fused_width()));
    input const attended(out, size(shape, shape_.out_width()));
    input const sums(denominator, size(shape, shape_.heads));
    input const grad_attended(grad_out, size(shape, shape_.out_width()));
    output const grad_rows(grad_qkv, size(shape, shape_.fused_width()));
    sum const grad_parameters(grad_map_parameters, kBlocks * block_size());
    fused_views<float const> const in(shape_, shape, rows.data);
    fused_views<float> const grad(shape_, shape, grad_rows.data);
    linattn::backward(Device::executor(), make_layer(parameters.data),
                      {.q = in.q,
                       .k = in.k,
                       .v = in.v,
                       .out = out_view(shape, attended.data),
                       .denominator = linattn::view_bht(sums.data, shape.batch, shape_.heads, shape.time),
                       .grad_out = out_view(shape, grad_attended.data),
                       .grad_q = grad.q,
                       .grad_k = grad.k,
                       .grad_v = grad.v,
                       .grad_map = map_views<typename Map::gradients>(grad_parameters.data)});
  }

  std::unique_ptr<mixer_state> make_state(int batch) const override {
    return std::make_unique<state>(batch, shape_.heads, shape_.value_dim);
  }

  void step(float const* map_parameters, int batch, float const* qkv, float* out,
            mixer_state& previous) const override {
    sequence_shape const shape{batch, 1};
    input const parameters(map_parameters, kBlocks * block_size());
    input const rows(qkv, size(shape, shape_.fused_width()));
    output const attended(out, size(shape, shape_.out_width()));
    fused_views<float const> const in(shape_, shape, rows.data);
    linattn::step(Device::executor(), make_layer(parameters.data), dynamic_cast<state&>(previous).values.view(),
                  {.q = in.q, .k = in.k, .v = in.v, .out = out_view(shape, attended.data)});
  }

 private:
  static constexpr std::size_t kBlocksPerInput = Learns == learns::gamma_and_beta ? 2 : 1;
  static constexpr std::size_t kBlocks = Learns == learns::nothing ? 0 : 2 * kBlocksPerInput;

  using input = typename Device::input;
  using output = typename Device::output;
  using sum = typename Device::sum;

  struct state final : mixer_state {
    state(int batch, int heads, int value_dim)
        : values{batch, heads, value_dim},
          size(static_cast<std::size_t>(batch * heads) * Map::feature_dim * static_cast<std::size_t>(value_dim + 1)) {}
    std::size_t bytes() const override { return size * sizeof(float); }

    typename Device::template state<Map> values;
    std::size_t size;  // numbers: of the weighted values, and of the sum of the keys
  };

  static std::size_t size(sequence_shape shape, int width) { return static_cast<std::size_t>(shape.rows() * width); }
  /// Of gamma or beta of one input.
  std::size_t block_size() const { return static_cast<std::size_t>(shape_.heads * attention_shape::head_dim); }

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

  /// An absent state, which linattn takes as not wanted, for nullptr.
  static typename layer_type::state_type view_of(mixer_state* wanted) {
    return wanted == nullptr ? typename layer_type::state_type{} : dynamic_cast<state&>(*wanted).values.view();
  }

  /// The map's parameters (or their gradients) as views into the flat array; what the map does not learn stays absent.
  template <class Views, class T>
  Views map_views([[maybe_unused]] T* data) const {
    Views views;
    [[maybe_unused]] auto const block = [&](int index) {
      int const row = attention_shape::head_dim;
      return linattn::tensor_view<T, 2>{data + index * shape_.heads * row, {shape_.heads, row}};
    };
    if constexpr (Learns == learns::gamma) {
      views.gamma_q = block(0);
      views.gamma_k = block(1);
    } else if constexpr (Learns == learns::gamma_and_beta) {
      views.gamma_q = block(0);
      views.beta_q = block(1);
      views.gamma_k = block(2);
      views.beta_k = block(3);
    }
    return views;
  }

  layer_type make_layer([[maybe_unused]] float const* map_parameters) const {
    layer_type layer;
    if constexpr (Normalizer::needs_denominator) {
      layer.normalizer.eps = shape_.eps;
    }
    if constexpr (Learns != learns::nothing) {
      layer.map.parameters = map_views<decltype(layer.map.parameters)>(map_parameters);
    }
    return layer;
  }

  attention_shape shape_;
};

template <class Map, learns Learns, class Normalizer = linattn::sum_normalizer>
std::unique_ptr<attention_kernel> make_cpu_kernel(attention_shape shape) {
  if (shape.form_by_length) {
    return std::make_unique<linattn_kernel<Map, Learns, Normalizer, on_cpu, linattn::automatic>>(shape);
  }
  return std::make_unique<linattn_kernel<Map, Learns, Normalizer>>(shape);
}

}  // namespace example
