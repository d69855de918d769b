// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// check_feature_map: tests on random rows what every engine relies on, for a shipped map or a user's own. Call it in a
// test of the map; the verbs never call it. It proves nothing about rows that it did not draw.
#ifndef LINATTN_FEATURE_LAWS_HPP
#define LINATTN_FEATURE_LAWS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>
#include <linattn/feature/law_support.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace linattn::inline LINATTN_ABI {

namespace detail {

template <FeatureMap Map>
class law_checker : law_support<Map> {
  using support = law_support<Map>;
  using Real = law_number<Map>;
  using support::dim, support::eps, support::step, support::tolerance, support::roundings, support::roles;
  using support::calls, support::head_argument, support::rows_of_a_call, support::check_options, support::guarded;
  using support::random, support::random_row, support::small_error, support::slope_of;
  using support::map_, support::options_, support::report_;

 public:
  law_checker(Map const& map, law_options const& options) : support(map, options) {}

  diagnostic check() {
    if (check_options()) {
      for (int row = 0; row < options_.rows && check_row(row); ++row) {
      }
    }
    return report_;
  }

  template <class P, class Views>
  diagnostic check_parameters(std::span<P> values, std::span<P> grads, Views const& views) {
    if (!check_options()) {
      return report_;
    }
    map_.check_gradients(views, report_, options_.heads, options_.kv_heads);
    if (report_.ok() && values.size() != grads.size()) {
      report_.fail("there are ", values.size(), " parameters and ", grads.size(),
                   " gradients; as many gradients as parameters are accepted; pass storage of one layout");
    }
    if (report_.ok()) {
      compare_parameters(values, grads, views);
    }
    return report_;
  }

 private:
  /// prepare() is a function of its row, role and head, and of nothing else.
  bool check_prepare(role r, int call, std::vector<Real> const& row, std::vector<Real>& prepared) {
    auto const hook = [&](Real* x) { map_.prepare(x, r, head_argument(r, call)); };
    prepared = row;
    std::vector<Real> other = random_row(r, options_.deviation);
    std::vector<Real> again = row;
    if (!guarded("prepare", prepared, hook) || !guarded("prepare", other, hook) || !guarded("prepare", again, hook)) {
      return false;
    }
    if (std::memcmp(prepared.data(), again.data(), again.size() * sizeof(Real)) != 0) {
      return report_.fail("prepare gives different numbers for one row",
                          "; the same bits each time are accepted; let it depend on nothing but its arguments");
    }
    return true;
  }

  bool check_row(int row) {
    std::vector<std::vector<Real>> prepared[2];
    for (role r : roles) {
      for (int call = 0; call < calls(r); ++call) {
        std::vector<Real> const raw = random_row(r, options_.deviation);
        std::vector<Real> result;
        if (!check_prepare(r, call, raw, result)) {
          return false;
        }
        if constexpr (DifferentiableFeatureMap<Map>) {
          if (!check_prepare_backward(r, call, raw, row)) {
            return false;
          }
        }
        for (int i = 0; i < rows_of_a_call(r); ++i) {
          prepared[r == role::query ? 0 : 1].emplace_back(result.begin() + i * dim, result.begin() + (i + 1) * dim);
        }
      }
    }
    for (std::size_t head = 0; head < prepared[0].size(); ++head) {
      if (!check_pair(prepared[0][head], prepared[1][head % prepared[1].size()], row)) {
        return false;
      }
    }
    return true;
  }

  /// The law itself, and for a polynomial map, what backends take in place of its hooks.
  bool check_pair(std::vector<Real> const& x, std::vector<Real> const& y, int row) {
    double s = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      s += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    }
    double const score = static_cast<double>(map_.score(static_cast<Real>(s)));
    double sum = 0;
    double size = std::abs(score);
    for (int n = 0; n < Map::feature_dim; ++n) {
      double const term = static_cast<double>(map_.feature(x.data(), n)) * static_cast<double>(map_.feature(y.data(), n));
      sum += term;
      size += std::abs(term);
    }
    if (!small_error(sum - score, size)) {
      return report_.fail("the sum of feature(x, n) * feature(y, n) differs from score(<x, y>) by ",
                          rounded(std::abs(sum - score) / (eps * size)), " roundings of its terms in row ", row, "; ",
                          roundings, " are accepted; correct the weights in feature() or score()");
    }
    if constexpr (PolynomialMap<Map>) {
      double const polynomial = Map::c0 + (Map::c1 + Map::c2 * s) * s;
      double const packed = static_cast<double>(Map::packed::score(static_cast<Real>(s)));
      if (!small_error(polynomial - score, size) || !small_error(packed - score, size)) {
        return report_.fail("score differs from c0 + c1 s + c2 s^2, or from that of the map's `packed`, in row ", row,
                            "; polynomial maps have exactly those; correct score(), or derive from no base");
      }
      if (!check_packed_features(x)) {
        return false;
      }
    }
    if constexpr (DifferentiableFeatureMap<Map>) {
      return check_score_grad(static_cast<Real>(s), row) && check_feature_backward(x, row);
    }
    return true;
  }

  bool check_packed_features(std::vector<Real> const& x) {
    for (int n = 0; n < Map::feature_dim; ++n) {
      double const own = static_cast<double>(map_.feature(x.data(), n));
      if (!small_error(static_cast<double>(Map::packed::feature(x.data(), n)) - own, std::abs(own))) {
        return report_.fail("feature ", n, " differs from that of the map's `packed`",
                            "; polynomial maps have exactly those; remove feature(), or derive from no base");
      }
    }
    return true;
  }

  bool check_score_grad(Real s, int row) {
    auto const value = [&] {
      double const score = static_cast<double>(map_.score(s));
      return std::pair{score, std::abs(score)};
    };
    double const grad = static_cast<double>(map_.score_grad(s));
    return close("score_grad", "score", 0, row, grad, slope_of(s, value));
  }

  /// Every coordinate of every feature, on top of what the gradient holds already.
  bool check_feature_backward(std::vector<Real> x, int row) {
    for (int n = row; n < Map::feature_dim; n += options_.rows) {
      Real const g = random();
      std::vector<Real> grad(x.size(), Real(0.5));
      if (!guarded("feature_backward", grad, [&](Real* to) { map_.feature_backward(x.data(), n, g, to); })) {
        return false;
      }
      for (std::size_t i = 0; i < x.size(); ++i) {
        auto const value = [&] {
          double const term = static_cast<double>(g) * static_cast<double>(map_.feature(x.data(), n));
          return std::pair{term, std::abs(term)};
        };
        double const added = static_cast<double>(grad[i]) - 0.5;
        if (!close("feature_backward", "feature", n, row, added, slope_of(x[i], value))) {
          return false;
        }
      }
    }
    return true;
  }

  bool check_prepare_backward(role r, int call, std::vector<Real> x, int row) {
    std::vector<Real> const weights = random_row(r, 1);
    std::vector<Real> grad = weights;
    std::vector<Real> partial = zero_partial(r);
    if (!run_prepare_backward(r, call, x, grad, partial)) {
      return false;
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto const value = [&] { return weighted_sum(r, call, x, weights); };
      if (!close("prepare_backward", r == role::query ? "prepare of a query" : "prepare of a key", static_cast<int>(i),
                 row, static_cast<double>(grad[i]), slope_of(x[i], value))) {
        return false;
      }
    }
    return true;
  }

  std::vector<Real> zero_partial(role r) const {
    return std::vector<Real>(static_cast<std::size_t>(rows_of_a_call(r)) * std::size_t{Map::gradient_size});
  }
  bool run_prepare_backward(role r, int call, std::vector<Real> const& x, std::vector<Real>& grad,
                            std::vector<Real>& partial) {
    return guarded("prepare_backward", partial, [&](Real* sums) {
      guarded("prepare_backward", grad,
              [&](Real* g) { map_.prepare_backward(x.data(), g, r, head_argument(r, call), sums); });
    }) && report_.ok();
  }
  /// <weights, prepare(x)>, and the sum of its absolute terms.
  std::pair<double, double> weighted_sum(role r, int call, std::vector<Real> x, std::vector<Real> const& weights) const {
    map_.prepare(x.data(), r, head_argument(r, call));
    std::pair<double, double> sum{0, 0};
    for (std::size_t i = 0; i < x.size(); ++i) {
      double const term = static_cast<double>(weights[i]) * static_cast<double>(x[i]);
      sum.first += term;
      sum.second += std::abs(term);
    }
    return sum;
  }

  template <class P, class Views>
  void compare_parameters(std::span<P> values, std::span<P> grads, Views const& views) {
    for (P& grad : grads) {
      grad = P(0.5);
    }
    struct weighted_row {
      role r;
      int call;
      std::vector<Real> x, weights;
    };
    std::vector<weighted_row> batch;
    for (role r : roles) {
      for (int call = 0; call < calls(r); ++call) {
        std::vector<Real> partial = zero_partial(r);
        for (int row = 0; row < options_.rows; ++row) {
          batch.push_back({r, call, random_row(r, options_.deviation), random_row(r, 1)});
          std::vector<Real> grad = batch.back().weights;
          if (!run_prepare_backward(r, call, batch.back().x, grad, partial)) {
            return;
          }
        }
        for (int i = 0; i < rows_of_a_call(r); ++i) {
          for (int n = 0; n < Map::gradient_size; ++n) {
            Real const sum = partial[static_cast<std::size_t>(i * Map::gradient_size + n)];
            map_.accumulate(views, r, Map::all_heads ? i : call, n, sum);
          }
        }
      }
    }
    for (std::size_t p = 0; p < values.size(); ++p) {
      auto const value = [&] {
        std::pair<double, double> sum{0, 0};
        for (weighted_row const& row : batch) {
          auto const [term, size] = weighted_sum(row.r, row.call, row.x, row.weights);
          sum = {sum.first + term, sum.second + size};
        }
        return sum;
      };
      double const added = static_cast<double>(grads[p]) - 0.5;
      measured_slope slope = slope_of(values[p], value);
      slope.floor += static_cast<double>(std::numeric_limits<P>::epsilon()) * (1 + std::abs(added));
      if (!close("the partial sums of prepare_backward, or accumulate,", "prepare by a parameter", static_cast<int>(p),
                 0, added, slope)) {
        return;
      }
    }
  }

  bool close(char const* hook, char const* of, int number, int row, double grad, measured_slope const& slope) {
    double const outside = grad < slope.low ? slope.low - grad : (grad > slope.high ? grad - slope.high : 0);
    double const size = std::abs(grad) + std::abs(slope.central);
    if (is_finite(grad) && outside <= tolerance * size + slope.floor) {
      return true;
    }
    return report_.fail(hook, " differs from the slope of ", of, " (number ", number, ", row ", row, ") by ",
                        rounded(1e6 * outside / size), " millionths; ", rounded(1e6 * tolerance),
                        " are accepted; correct the derivative");
  }
};

}  // namespace detail

/// Tests that sum_n feature(x, n) * feature(y, n) == score(<x, y>), that prepare() is deterministic and stays inside its
/// row, and for a differentiable map that score_grad(), feature_backward() and prepare_backward() are the derivatives.
/// Numerics  in double if all hooks take it, else in float; the law up to the rounding of its terms, derivatives against
///           finite differences.
/// Throws    nothing of its own; returns ok(), or a message that names the hook that is wrong.
/// Source    docs/extending.md.
template <FeatureMap Map>
[[nodiscard]] diagnostic check_feature_map(Map const& map, law_options const& options = {}) {
  return detail::law_checker<Map>(map, options).check();
}

/// All that, and the gradients of the parameters: `parameters` is the storage behind the map's own views, in any layout;
/// `parameter_grads`, of the same layout, that behind `views`. parameter_grads is overwritten; parameters come back
/// unchanged.
template <DifferentiableFeatureMap Map, std::floating_point P>
[[nodiscard]] diagnostic check_feature_map(Map const& map, std::span<P> parameters,
                                           std::type_identity_t<std::span<P>> parameter_grads,
                                           typename Map::gradients const& views, law_options const& options = {}) {
  diagnostic const report = check_feature_map(map, options);
  return report.ok() ? detail::law_checker<Map>(map, options).check_parameters(parameters, parameter_grads, views)
                     : report;
}

}  // namespace linattn::inline LINATTN_ABI

#endif
