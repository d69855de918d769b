// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What laws.hpp tests with: seeded rows, guards around what a hook may write, measured slopes. It knows no law.
#ifndef LINATTN_FEATURE_LAW_SUPPORT_HPP
#define LINATTN_FEATURE_LAW_SUPPORT_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace linattn::inline LINATTN_ABI {

/// What check_feature_map draws. heads and kv_heads are those of the map's parameters, if it has one row a head.
struct law_options {
  std::uint64_t seed = 1;
  int rows = 8;           // rows of q and of k for each head
  int heads = 2;
  int kv_heads = 2;
  double deviation = 1;   // standard deviation of the rows' numbers
};

namespace detail {

template <class M>
concept ServesDouble = requires(M const& map, double* x, double const* prepared, double s, int n) {
  { map.prepare(x, role::query, n) } -> std::same_as<void>;
  { map.score(s) } -> std::same_as<double>;
  { map.feature(prepared, n) } -> std::same_as<double>;
};
template <class M>
concept ServesDoubleBackward = requires(M const& map, double const* x, double* grad, double g, int n,
                                        typename M::gradients const& gradients) {
  { map.score_grad(g) } -> std::same_as<double>;
  { map.feature_backward(x, n, g, grad) } -> std::same_as<void>;
  { map.prepare_backward(x, grad, role::query, n, grad) } -> std::same_as<void>;
  { map.accumulate(gradients, role::query, n, n, g) } -> std::same_as<void>;
};

/// What a map can be tested in: double if all its hooks take it.
template <class M>
using law_number = std::conditional_t<ServesDouble<M> && (!DifferentiableFeatureMap<M> || ServesDoubleBackward<M>),
                                      double, float>;

/// From the bits, so that -ffast-math does not assume the answer.
inline bool is_finite(double x) noexcept {
  constexpr std::uint64_t exponent = 0x7ff0000000000000ULL;
  return (std::bit_cast<std::uint64_t>(x) & exponent) != exponent;
}

/// A number for a message.
inline long long rounded(double x) noexcept { return x < 1e15 ? static_cast<long long>(x + 0.5) : 1000000000000000LL; }

/// The slope of a function between two points around one: the one-sided ones and what rounding may add.
struct measured_slope {
  double low, high, central, floor;
};

template <FeatureMap Map>
class law_support {
 public:
  using Real = law_number<Map>;
  static constexpr int dim = Map::head_dim;
  static constexpr double eps = static_cast<double>(std::numeric_limits<Real>::epsilon());
  static constexpr double step = std::same_as<Real, double> ? 6e-6 : 5e-3;       // about the cube root of eps
  static constexpr double tolerance = std::same_as<Real, double> ? 1e-5 : 5e-3;  // relative, of a derivative

  law_support(Map const& map, law_options const& options) : map_(map), options_(options), state_(options.seed) {}

 protected:
  static constexpr role roles[] = {role::query, role::key};

  [[nodiscard]] int heads(role r) const { return r == role::query ? options_.heads : options_.kv_heads; }
  [[nodiscard]] int calls(role r) const { return Map::all_heads ? 1 : heads(r); }
  [[nodiscard]] int head_argument(role r, int call) const { return Map::all_heads ? heads(r) : call; }
  [[nodiscard]] int rows_of_a_call(role r) const { return Map::all_heads ? heads(r) : 1; }

  bool check_options() {
    if (options_.rows < 1 || options_.heads < 1 || options_.kv_heads < 1) {
      return report_.fail("options with ", options_.rows, " rows, ", options_.heads, " heads and ", options_.kv_heads,
                          " kv_heads; numbers from 1 on are accepted; leave them at their defaults");
    }
    map_.check(report_, options_.heads, options_.kv_heads);
    return report_.ok();
  }

  /// Nearly normal: a sum of six uniform numbers, from the top bits of a linear congruential generator.
  Real random() {
    double sum = 0;
    for (int i = 0; i < 6; ++i) {
      state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
      sum += static_cast<double>(state_ >> 40U) * 0x1p-24 - 0.5;
    }
    return static_cast<Real>(sum * std::sqrt(2.0));
  }
  std::vector<Real> random_row(role r, double deviation) {
    std::vector<Real> row(static_cast<std::size_t>(rows_of_a_call(r)) * dim);
    for (Real& x : row) {
      x = static_cast<Real>(deviation) * random();
    }
    return row;
  }

  /// Calls hook(pointer) on a copy of `values` between guards. False if it wrote into them or made no finite numbers.
  template <class F>
  bool guarded(char const* name, std::vector<Real>& values, F const& hook) {
    constexpr std::size_t margin = 16;
    constexpr Real guard = Real(-12345.5);
    std::vector<Real> memory(values.size() + 2 * margin, guard);
    std::copy(values.begin(), values.end(), memory.begin() + margin);
    hook(memory.data() + margin);
    for (std::size_t i = 0; i < margin; ++i) {
      if (memory[i] != guard || memory[memory.size() - 1 - i] != guard) {
        return report_.fail(name, " writes outside its ", values.size(),
                            " numbers; writes inside them are accepted; check its loops");
      }
    }
    std::copy_n(memory.begin() + margin, values.size(), values.begin());
    for (Real x : values) {
      if (!is_finite(static_cast<double>(x))) {
        return report_.fail(name, " makes a number that is not finite",
                            "; finite numbers are accepted, from rows of usual sizes; check its arithmetic");
      }
    }
    return true;
  }

  static constexpr int roundings = 64 + dim;
  static bool small_error(double error, double size) noexcept {
    return is_finite(error) && std::abs(error) <= roundings * eps * size;
  }

  /// Of value() = {the function, the size of what was summed} by x, which keeps its value.
  template <class X, class F>
  static measured_slope slope_of(X& x, F const& value) {
    X const here = x;
    double const h = step * (std::abs(static_cast<double>(here)) > 1 ? std::abs(static_cast<double>(here)) : 1);
    auto const [middle, size] = value();
    X const above = x = static_cast<X>(static_cast<double>(here) + h);
    double const high = value().first;
    X const below = x = static_cast<X>(static_cast<double>(here) - h);
    double const low = value().first;
    x = here;
    double const right = (high - middle) / (static_cast<double>(above) - static_cast<double>(here));
    double const left = (middle - low) / (static_cast<double>(here) - static_cast<double>(below));
    double const central = (high - low) / (static_cast<double>(above) - static_cast<double>(below));
    // Between the one-sided slopes is also where a kink, as of max(x, 0), has its derivative.
    return {left < right ? left : right, left < right ? right : left, central, 8 * eps * size / h + 8 * step * step};
  }

  Map map_;
  law_options options_;
  std::uint64_t state_;
  diagnostic report_{"check_feature_map"};
};

}  // namespace detail
}  // namespace linattn::inline LINATTN_ABI

#endif
