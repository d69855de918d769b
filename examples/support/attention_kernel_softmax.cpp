// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Causal softmax attention, the Transformer's: plain loops, and not linattn's. Time grows with the square of the
// sequence, the state with its length: what linear attention is compared with.
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "attention_kernel_families.hpp"

namespace example {
namespace {

using row_view = Eigen::Map<Eigen::ArrayXf>;
using const_row_view = Eigen::Map<Eigen::ArrayXf const>;

/// All keys and values so far, a fused row (all heads' k, then all v) a token: the KV cache.
struct kv_cache final : mixer_state {
  explicit kv_cache(int batch) : rows(static_cast<std::size_t>(batch)) {}
  std::size_t bytes() const override {
    std::size_t floats = 0;
    for (buffer const& each : rows) {
      floats += each.size();
    }
    return floats * sizeof(float);
  }

  std::vector<buffer> rows;  // of each sequence
};

/// in (rows, width) with a stride -> out (width, rows): the loop over the rows is then the one in vector lanes.
void transpose(float const* in, int rows, int stride, int width, float* out) {
  for (int row = 0; row < rows; ++row) {
    for (int c = 0; c < width; ++c) {
      out[c * rows + row] = in[row * stride + c];
    }
  }
}

/// out[j] = scale * sum_c x[c] * columns[c][j], for the first `count` of `rows` columns.
void dot_with_rows(float const* x, float const* columns, int rows, int width, int count, float scale, float* out) {
  row_view sums(out, count);
  sums = 0;
  for (int c = 0; c < width; ++c) {
    sums += x[c] * scale * const_row_view(columns + c * rows, count);
  }
}

class softmax_kernel final : public attention_kernel {
 public:
  explicit softmax_kernel(attention_shape shape)
      : shape_(shape), dim_(shape.key_dim), row_(shape.fused_width()), key_(shape.heads * dim_), value_(2 * key_) {}

  std::vector<float> initial_parameters() const override { return {}; }

  /// The denominator is kept as its logarithm: with it alone backward has every weight again.
  void forward(float const* /*map_parameters*/, sequence_shape shape, float const* qkv, float* out, float* denominator,
               mixer_state* final_state) const override {
    int const time = shape.time;
    buffer keys(static_cast<std::size_t>(time * dim_));
    buffer weights(static_cast<std::size_t>(time));
    for (int b = 0; b < shape.batch; ++b) {
      float const* const rows = qkv + b * time * row_;
      for (int h = 0; h < shape_.heads; ++h) {
        transpose(rows + key_ + h * dim_, time, row_, dim_, keys.data());
        float const* const values = rows + value_ + h * shape_.value_dim;
        for (int t = 0; t < time; ++t) {
          dot_with_rows(rows + t * row_ + h * dim_, keys.data(), time, dim_, t + 1, scale(), weights.data());
          denominator[(b * shape_.heads + h) * time + t] =
              attend(weights.data(), t + 1, values, row_, out + (b * time + t) * shape_.out_width(), h);
        }
      }
      if (final_state != nullptr) {
        buffer& cache = dynamic_cast<kv_cache&>(*final_state).rows[static_cast<std::size_t>(b)];
        cache.clear();
        for (int t = 0; t < time; ++t) {
          cache.insert(cache.end(), rows + t * row_ + key_, rows + (t + 1) * row_);
        }
      }
    }
  }

  void backward(float const* /*map_parameters*/, float* /*grad_map_parameters*/, sequence_shape shape, float const* qkv,
                float const* out, float const* denominator, float const* grad_out, float* grad_qkv) const override {
    std::fill_n(grad_qkv, shape.rows() * row_, 0.0F);
    auto const time = static_cast<std::size_t>(shape.time);
    head_scratch scratch{buffer(time * static_cast<std::size_t>(dim_)),
                         buffer(time * static_cast<std::size_t>(shape_.value_dim)), buffer(time), buffer(time)};
    for (int b = 0; b < shape.batch; ++b) {
      for (int h = 0; h < shape_.heads; ++h) {
        int const first = b * shape.time;
        head_backward(h, shape.time, qkv + first * row_, out + first * shape_.out_width(),
                      denominator + (b * shape_.heads + h) * shape.time, grad_out + first * shape_.out_width(),
                      grad_qkv + first * row_, scratch);
      }
    }
  }

  std::unique_ptr<mixer_state> make_state(int batch) const override { return std::make_unique<kv_cache>(batch); }

  void step(float const* /*map_parameters*/, int batch, float const* qkv, float* out,
            mixer_state& state) const override {
    int const cached = row_ - key_;  // floats of a token in the cache
    for (int b = 0; b < batch; ++b) {
      buffer& cache = dynamic_cast<kv_cache&>(state).rows[static_cast<std::size_t>(b)];
      float const* const row = qkv + b * row_;
      cache.insert(cache.end(), row + key_, row + row_);
      int const count = static_cast<int>(cache.size()) / cached;
      buffer weights(static_cast<std::size_t>(count));
      for (int h = 0; h < shape_.heads; ++h) {
        for (int j = 0; j < count; ++j) {
          weights[static_cast<std::size_t>(j)] =
              scale() *
              (const_row_view(row + h * dim_, dim_) * const_row_view(cache.data() + j * cached + h * dim_, dim_)).sum();
        }
        attend(weights.data(), count, cache.data() + (value_ - key_) + h * shape_.value_dim, cached,
               out + b * shape_.out_width(), h);
      }
    }
  }

 private:
  struct head_scratch {
    buffer keys, values, weights, grad_weights;
  };

  float scale() const { return 1 / std::sqrt(static_cast<float>(dim_)); }

  /// Scores -> weights -> this head's part of the result; returns the logarithm of the weights' sum.
  float attend(float* scores, int count, float const* values, int stride, float* out, int head) const {
    row_view weights(scores, count);
    float const largest = weights.maxCoeff();
    weights = (weights - largest).exp();
    float const total = weights.sum();
    row_view result(out + head * shape_.value_dim, shape_.value_dim);
    result = 0;
    for (int j = 0; j < count; ++j) {
      result += scores[j] / total * const_row_view(values + j * stride, shape_.value_dim);
    }
    return largest + std::log(total);
  }

  /// The pointers are those of one sequence; grad_qkv is added to.
  void head_backward(int head, int time, float const* qkv, float const* out, float const* log_sums,
                     float const* grad_out, float* grad_qkv, head_scratch& scratch) const {
    int const dim = shape_.value_dim;
    int const value = value_ + head * dim;
    int const query = head * dim_;
    int const key = key_ + head * dim_;
    transpose(qkv + key, time, row_, dim_, scratch.keys.data());
    transpose(qkv + value, time, row_, dim, scratch.values.data());
    for (int t = 0; t < time; ++t) {
      float const* const q = qkv + t * row_ + query;
      float const* const grad = grad_out + t * shape_.out_width() + head * dim;
      row_view weights(scratch.weights.data(), t + 1);
      row_view grad_weights(scratch.grad_weights.data(), t + 1);
      dot_with_rows(q, scratch.keys.data(), time, dim_, t + 1, scale(), weights.data());
      weights = (weights - log_sums[t]).exp();
      dot_with_rows(grad, scratch.values.data(), time, dim, t + 1, 1, grad_weights.data());
      float const mean =
          (const_row_view(grad, dim) * const_row_view(out + t * shape_.out_width() + head * dim, dim)).sum();
      grad_weights = weights * (grad_weights - mean) * scale();  // now of the products <q, k>
      row_view grad_q(grad_qkv + t * row_ + query, dim_);
      for (int j = 0; j <= t; ++j) {
        float* const grad_row = grad_qkv + j * row_;
        row_view(grad_row + key, dim_) += grad_weights[j] * const_row_view(q, dim_);
        row_view(grad_row + value, dim) += weights[j] * const_row_view(grad, dim);
        grad_q += grad_weights[j] * const_row_view(qkv + j * row_ + key, dim_);
      }
    }
  }

  attention_shape shape_;
  int dim_;                // of queries and keys
  int row_, key_, value_;  // floats of a fused row; where its keys and values begin
};

}  // namespace

std::unique_ptr<attention_kernel> make_softmax(attention_shape shape) {
  return std::make_unique<softmax_kernel>(shape);
}

}  // namespace example
