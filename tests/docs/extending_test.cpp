// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The maps, the normalizer and the strategy that docs/extending.md adds, and proof that they work.
#include <doctest/doctest.h>

#include <linattn/feature/laws.hpp>
#include <linattn/linattn.hpp>

#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

/// x' = gain * x, with a learnable gain for each channel that all heads share, and q and k too.
template <int HeadDim>
struct gained : linattn::elementwise_map<HeadDim> {
  static constexpr char const* name = "gained";
  static constexpr int gradient_size = HeadDim;
  struct gradients {
    linattn::parameter_view<float> gain{};
  };
  linattn::parameter_view<float const> gain{};

  LINATTN_HOST_DEVICE void prepare(float* x, linattn::role, int head) const {
    for (int i = 0; i < HeadDim; ++i) { x[i] = x[i] * gain(head, i); }
  }
  LINATTN_HOST_DEVICE void prepare_backward(float const* x, float* grad, linattn::role, int head, float* partial) const {
    for (int i = 0; i < HeadDim; ++i) {
      partial[i] += grad[i] * x[i];
      grad[i] *= gain(head, i);
    }
  }
  template <class T>
  LINATTN_HOST_DEVICE void accumulate(gradients const& to, linattn::role, int head, int n, T sum) const {
    to.gain(head, n) += static_cast<float>(sum);
  }
  void check(linattn::diagnostic& report, std::int64_t /*heads*/, std::int64_t /*kv_heads*/) const noexcept {
    if (!gain.present() || gain.size != HeadDim || gain.heads != 0) {
      report.fail("gain has ", gain.size, " channels; a rank-1 view of ", HeadDim, " is accepted; pass one number a channel");
    }
  }
  void check_gradients(gradients const& to, linattn::diagnostic& report, std::int64_t, std::int64_t) const noexcept {
    if (!to.gain.present() || to.gain.size != HeadDim) {
      report.fail("the gradient of gain has ", to.gain.size, " channels; ", HeadDim, " are accepted; pass one of gain's shape");
    }
  }
};
static_assert(linattn::DifferentiableFeatureMap<gained<8>>);

/// score(s) = s^3: all d^3 products. No base class: every member is here.
template <int HeadDim>
struct cubic {
  static constexpr char const* name = "cubic";
  static constexpr int head_dim = HeadDim;
  static constexpr int feature_dim = HeadDim * HeadDim * HeadDim;
  static constexpr bool all_heads = false;
  static constexpr bool vectorized = false;

  template <class T>
  LINATTN_HOST_DEVICE void prepare(T*, linattn::role, int) const {}
  template <class T>
  LINATTN_HOST_DEVICE T score(T s) const { return s * s * s; }
  template <class T>
  LINATTN_HOST_DEVICE T feature(T const* x, int n) const {
    return x[n / (HeadDim * HeadDim)] * x[n / HeadDim % HeadDim] * x[n % HeadDim];
  }
  void check(linattn::diagnostic&, std::int64_t, std::int64_t) const noexcept {}
};
static_assert(linattn::FeatureMap<cubic<8>>);

/// out = num / max(|den|, 1): for maps whose weights can be negative.
struct bounded_sum {
  static constexpr bool needs_denominator = true;
  template <class T>
  LINATTN_HOST_DEVICE T scale(T den) const {
    return den > 1 ? 1 / den : (den < -1 ? -1 / den : T(1));
  }
  template <class T>
  LINATTN_HOST_DEVICE T scale_grad(T den) const {
    return den > 1 ? -1 / (den * den) : (den < -1 ? 1 / (den * den) : T(0));
  }
  void check(linattn::diagnostic&) const noexcept {}
};
static_assert(linattn::Normalizer<bounded_sum>);

/// The definition, pair by pair, with nothing precomputed.
struct by_definition {
  using is_execution_strategy = void;
};

template <>
struct linattn::engine<linattn::cpu_executor, by_definition> {
  template <class Attention>
  static void forward(cpu_executor const&, Attention const& attn, typename Attention::forward_args const& args) {
    constexpr int d = Attention::map_type::head_dim;
    using real = typename Attention::accumulator_type;
    std::int64_t const group = args.q.extents[1] / args.k.extents[1];
    auto const row = [&](auto const& x, role r, std::int64_t b, std::int64_t h, std::int64_t t) {
      std::vector<real> prepared(d);
      for (std::size_t i = 0; i < d; ++i) { prepared[i] = static_cast<real>(x(b, h, t, i)); }
      attn.map.prepare(prepared.data(), r, static_cast<int>(h));
      return prepared;
    };
    for (std::int64_t b = 0; b < args.q.extents[0]; ++b) {
      for (std::int64_t h = 0; h < args.q.extents[1]; ++h) {
        for (std::int64_t t = 0; t < args.q.extents[2]; ++t) {
          std::vector<real> const q = row(args.q, role::query, b, h, t);
          std::vector<real> num(static_cast<std::size_t>(args.v.extents[3]));
          real den = 0;
          for (std::int64_t j = 0; j < (args.causal ? t + 1 : args.q.extents[2]); ++j) {
            std::vector<real> const k = row(args.k, role::key, b, h / group, j);
            real s = 0;
            for (std::size_t i = 0; i < d; ++i) { s += q[i] * k[i]; }
            real const weight = attn.map.score(s);
            den += weight;
            for (std::size_t c = 0; c < num.size(); ++c) { num[c] += weight * static_cast<real>(args.v(b, h / group, j, c)); }
          }
          for (std::size_t c = 0; c < num.size(); ++c) {
            args.out(b, h, t, c) = static_cast<typename Attention::element_type>(num[c] * attn.normalizer.scale(den));
          }
        }
      }
    }
  }
};

namespace {

constexpr std::int64_t heads = 4, kv_heads = 2, length = 70, d = 8, value_dim = 5;

std::vector<double> random_numbers(std::int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> numbers(static_cast<std::size_t>(count));
  for (double& x : numbers) { x = normal(engine); }
  return numbers;
}

struct problem {
  std::vector<double> q = random_numbers(length * heads * d, 1), k = random_numbers(length * kv_heads * d, 2),
                      v = random_numbers(length * kv_heads * value_dim, 3), g = random_numbers(length * heads * value_dim, 4);

  template <class Strategy, class Map = linattn::identity<d>>
  std::vector<double> out(bool causal = true) const {
    std::vector<double> result(g.size());
    linattn::forward(linattn::cpu_executor{}, linattn::attention<Map, Strategy, bounded_sum, double>{},
                     {.q = linattn::view_bthd(q.data(), 1, length, heads, d),
                      .k = linattn::view_bthd(k.data(), 1, length, kv_heads, d),
                      .v = linattn::view_bthd(v.data(), 1, length, kv_heads, value_dim),
                      .out = linattn::view_bthd(result.data(), 1, length, heads, value_dim),
                      .causal = causal});
    return result;
  }
  double loss() const {
    std::vector<double> const result = out<linattn::chunkwise<16>>();
    double sum = 0;
    for (std::size_t i = 0; i < g.size(); ++i) { sum += g[i] * result[i]; }
    return sum;
  }
};

}  // namespace

TEST_CASE("a learnable map keeps the law, and its parameter has the right gradient") {
  std::vector<float> gain{1, -2, 0.5F, 3, 1, 1.5F, -1, 2};
  std::vector<float> grad(gain.size());
  gained<8> map;
  map.gain = std::span<float const>(gain);
  linattn::diagnostic const report =
      linattn::check_feature_map(map, std::span(gain), std::span(grad), {.gain = std::span<float>(grad)});
  INFO(report.message());
  CHECK(report.ok());
}

TEST_CASE("a map without a base works in every strategy") {
  CHECK(linattn::check_feature_map(cubic<8>{}).ok());
  problem const p;
  std::vector<double> const expected = p.out<by_definition, cubic<8>>();
  std::vector<double> const chunkwise = p.out<linattn::chunkwise<16>, cubic<8>>();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(chunkwise[i] == doctest::Approx(expected[i]).epsilon(1e-9));
  }
}

TEST_CASE("a new normalizer and a new strategy work with everything else") {
  problem const p;
  for (bool causal : {true, false}) {
    std::vector<double> const expected = p.out<by_definition>(causal);
    std::vector<double> const chunkwise = p.out<linattn::chunkwise<16>>(causal);
    std::vector<double> const recurrent = p.out<linattn::recurrent>(causal);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(chunkwise[i] == doctest::Approx(expected[i]).epsilon(1e-10));
      CHECK(recurrent[i] == doctest::Approx(expected[i]).epsilon(1e-10));
    }
  }
}

TEST_CASE("a new normalizer has a backward, through its scale_grad") {
  problem p;
  std::vector<double> dq(p.q.size()), dk(p.k.size()), dv(p.v.size());
  linattn::backward(linattn::cpu_executor{},
                    linattn::attention<linattn::identity<d>, linattn::chunkwise<16>, bounded_sum, double>{},
                    {.q = linattn::view_bthd<double const>(p.q.data(), 1, length, heads, d),
                     .k = linattn::view_bthd<double const>(p.k.data(), 1, length, kv_heads, d),
                     .v = linattn::view_bthd<double const>(p.v.data(), 1, length, kv_heads, value_dim),
                     .grad_out = linattn::view_bthd<double const>(p.g.data(), 1, length, heads, value_dim),
                     .grad_q = linattn::view_bthd(dq.data(), 1, length, heads, d),
                     .grad_k = linattn::view_bthd(dk.data(), 1, length, kv_heads, d),
                     .grad_v = linattn::view_bthd(dv.data(), 1, length, kv_heads, value_dim)});
  auto const slope = [&](double& x) {
    double const here = x;
    x = here + 1e-6;
    double const high = p.loss();
    x = here - 1e-6;
    double const low = p.loss();
    x = here;
    return (high - low) / 2e-6;
  };
  for (std::size_t i = 0; i < dk.size(); i += 97) {
    CHECK(dq[i] == doctest::Approx(slope(p.q[i])).epsilon(1e-5));
    CHECK(dk[i] == doctest::Approx(slope(p.k[i])).epsilon(1e-5));
  }
  for (std::size_t i = 0; i < dv.size(); i += 97) {
    CHECK(dv[i] == doctest::Approx(slope(p.v[i])).epsilon(1e-5));
  }
}
