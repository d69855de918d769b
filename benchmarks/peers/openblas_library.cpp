// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// linattn's chunkwise algorithm with OpenBLAS for its products: what a straightforward engine on a good BLAS reaches.
// One thread. Tokens are the lanes of all loops, so that the compiler vectorises the rest. It shares no code with
// linattn.

#include "library.hpp"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

namespace {

constexpr int d = 16;
constexpr int features = d * (d + 1) / 2;

/// C = beta * C + op(A) B, row-major; A is (k x m) if transposed, else (m x k).
void product(CBLAS_TRANSPOSE op, int m, int n, int k, float const* a, int lda, float const* b, int ldb, float beta,
             float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, op, CblasNoTrans, m, n, k, 1.0F, a, lda, b, ldb, beta, c, ldc);
}

class engine {
 public:
  engine(peers_problem const& p)
      : p_(p),
        width_(static_cast<int>(p.value_dim)),
        chunk_(p.chunk),
        query_(count(d)),
        key_(count(d)),
        query_features_(count(features)),
        key_features_(count(features)),
        weights_(count(chunk_)),
        state_(static_cast<std::size_t>(features) * static_cast<std::size_t>(width_)),
        key_sums_(features),
        denominators_(count(1)) {}

  void run() {
    for (std::int64_t head = 0; head < p_.heads; ++head) {
      std::fill(state_.begin(), state_.end(), 0.0F);
      std::fill(key_sums_.begin(), key_sums_.end(), 0.0F);
      for (std::int64_t begin = 0; begin < p_.time; begin += chunk_) {
        run_chunk(head * p_.time + begin, static_cast<int>(std::min<std::int64_t>(chunk_, p_.time - begin)));
      }
    }
  }

 private:
  [[nodiscard]] std::size_t count(int rows) const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(chunk_);
  }

  void run_chunk(std::int64_t row, int tokens) {
    prepare(p_.q + row * d, p_.gamma_q, p_.beta_q, tokens, query_.data());
    prepare(p_.k + row * d, p_.gamma_k, p_.beta_k, tokens, key_.data());
    expand(query_.data(), tokens, query_features_.data());
    expand(key_.data(), tokens, key_features_.data());
    float const* const v = p_.v + row * width_;
    float* const out = p_.out + row * width_;

    product(CblasTrans, tokens, tokens, d, query_.data(), chunk_, key_.data(), chunk_, 0, weights_.data(), chunk_);
    square_the_past(tokens);
    product(CblasNoTrans, tokens, width_, tokens, weights_.data(), chunk_, v, width_, 0, out, width_);
    product(CblasTrans, tokens, width_, features, query_features_.data(), chunk_, state_.data(), width_, 1, out,
            width_);
    if (p_.normalized != 0) {
      normalize(out, tokens);
    }
    product(CblasNoTrans, features, width_, tokens, key_features_.data(), chunk_, v, width_, 1, state_.data(), width_);
  }

  /// Rows become columns: LayerNorm, gamma, beta, and the root of the scale 1 / sqrt(d).
  void prepare(float const* rows, float const* gamma, float const* beta, int tokens, float* x) const {
    for (int i = 0; i < d; ++i) {
      for (int t = 0; t < tokens; ++t) {
        x[i * chunk_ + t] = rows[t * d + i];
      }
    }
    constexpr int lanes = 16;
    float const root = std::sqrt(1.0F / std::sqrt(static_cast<float>(d)));
    for (int begin = 0; begin < tokens; begin += lanes) {
      int const end = std::min(begin + lanes, tokens);
      float mean[lanes] = {};
      float variance[lanes] = {};
      for (int i = 0; i < d; ++i) {
        for (int t = begin; t < end; ++t) {
          mean[t - begin] += x[i * chunk_ + t] / d;
        }
      }
      for (int i = 0; i < d; ++i) {
        for (int t = begin; t < end; ++t) {
          float const centred = x[i * chunk_ + t] - mean[t - begin];
          variance[t - begin] += centred * centred / d;
        }
      }
      for (int t = 0; t < end - begin; ++t) {
        variance[t] = 1.0F / std::sqrt(variance[t] + 1e-5F);
      }
      for (int i = 0; i < d; ++i) {
        for (int t = begin; t < end; ++t) {
          float const normal = (x[i * chunk_ + t] - mean[t - begin]) * variance[t - begin];
          x[i * chunk_ + t] = (normal * gamma[i] + beta[i]) * root;
        }
      }
    }
  }

  void expand(float const* x, int tokens, float* phi) const {
    for (int i = 0; i < d; ++i) {
      for (int j = i; j < d; ++j, phi += chunk_) {
        float const weight = i == j ? 1.0F : std::sqrt(2.0F);
        for (int t = 0; t < tokens; ++t) {
          phi[t] = x[i * chunk_ + t] * (x[j * chunk_ + t] * weight);
        }
      }
    }
  }

  /// Scores to weights; a query sees no later key. The sums of the weights are the chunk's part of the denominators.
  void square_the_past(int tokens) {
    for (int t = 0; t < tokens; ++t) {
      float* const row = weights_.data() + static_cast<std::ptrdiff_t>(t) * chunk_;
      float sum = 0;
      for (int j = 0; j <= t; ++j) {
        row[j] *= row[j];
        sum += row[j];
      }
      std::fill(row + t + 1, row + tokens, 0.0F);
      denominators_[static_cast<std::size_t>(t)] = sum;
    }
  }

  void normalize(float* out, int tokens) {
    cblas_sgemv(CblasRowMajor, CblasTrans, features, tokens, 1.0F, query_features_.data(), chunk_, key_sums_.data(), 1,
                1.0F, denominators_.data(), 1);
    for (int t = 0; t < tokens; ++t, out += width_) {
      float const scale = 1.0F / (denominators_[static_cast<std::size_t>(t)] + static_cast<float>(p_.eps));
      for (int c = 0; c < width_; ++c) {
        out[c] *= scale;
      }
    }
    for (std::size_t n = 0; n < features; ++n) {
      float const* const row = key_features_.data() + n * static_cast<std::size_t>(chunk_);
      float sum = 0;
      for (int t = 0; t < tokens; ++t) {
        sum += row[t];
      }
      key_sums_[n] += sum;
    }
  }

  using numbers = std::vector<float>;
  peers_problem const& p_;
  int width_, chunk_;
  numbers query_, key_, query_features_, key_features_, weights_;  // (channel or feature or query) x token
  numbers state_, key_sums_, denominators_;
};

}  // namespace

/// Which of OpenBLAS's kernels run on this machine.
extern "C" char const* peers_openblas_core() { return openblas_get_corename(); }

/// Returns 0, or 1 after a message.
extern "C" int peers_openblas_forward(peers_problem const* p) {
  if (p->threads != 1 || p->chunk < 1) {
    std::fprintf(stderr, "peers_openblas_forward: this engine runs on one thread, in chunks of a token or more\n");
    return 1;
  }
  openblas_set_num_threads(1);
  engine(*p).run();
  return 0;
}
