// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Feature orders: the same state of a polynomial map, with its features listed the way linattn, other codes or matrix
// units like them. It converts numbers in memory; which order a backend computes in is the backend's own affair.
#ifndef LINATTN_STATE_ORDER_HPP
#define LINATTN_STATE_ORDER_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/math.hpp>
#include <linattn/core/tensor_view.hpp>
#include <linattn/core/validate.hpp>
#include <linattn/feature/rotation_octets.hpp>

#include <concepts>
#include <cstdint>

namespace linattn::inline LINATTN_ABI {

/// How the features of score(s) = c0 + c1 s + c2 s^2 are listed. A term whose coefficient is 0 is left out.
///   packed            the library's own: one constant; x_i; x_i x_j for i <= j, row by row. The square root of each
///                     term's coefficient is in the feature: sqrt(c0), sqrt(c1), sqrt(c2), and sqrt(2 c2) for i < j.
///   full              what most codes keep: one constant; x_i; all x_i x_j, row by row, with sqrt(c2) each.
///   rotation_octets   for matrix units. head_dim is padded with zeros to P, a multiple of 8, and cut into blocks of 8.
///                     An octet is x[8a + g] x[8b + (g + r) % 8] for g = 0..7. For a = 0, 1, ...: a with itself, r = 0..4,
///                     then each b > a: r = 0..3 from a, r = 1..4 from b. After all P (P / 2 + 1) of them: x_i (P of
///                     them), then the constant. Queries have no weights; those of the terms, c2 (2 c2 for a pair that
///                     is listed once), c1 and c0, are in the state.
enum class feature_order : std::uint8_t { packed, full, rotation_octets };

/// One feature: query_weight * x[first] * x[second] on the query's side, state_weight in place of it on the key's, and
/// so in the state. An index of -1 is a factor of 1; an index from head_dim on is padding, a factor of 0.
struct feature_term {
  int first = -1;
  int second = -1;
  double query_weight = 1;
  double state_weight = 1;
};

namespace detail {

/// Where the terms of an order begin, and how a pair of coordinates is found in it.
template <PolynomialMap Map>
struct feature_list {
  using list = octet_list<Map>;
  static constexpr int dim = Map::head_dim;
  static constexpr int padded_dim = (dim + 7) / 8 * 8;
  static constexpr bool has_constant = Map::c0 > 0;
  static constexpr bool has_linear = Map::c1 > 0;
  static constexpr bool has_pairs = Map::c2 > 0;

  feature_order order;

  [[nodiscard]] constexpr int linear_count() const noexcept {
    return !has_linear ? 0 : (order == feature_order::rotation_octets ? padded_dim : dim);
  }
  [[nodiscard]] constexpr int pair_count() const noexcept {
    switch (order) {
      case feature_order::packed: return has_pairs ? dim * (dim + 1) / 2 : 0;
      case feature_order::full: return has_pairs ? dim * dim : 0;
      default: return 8 * list::pair_octets;
    }
  }
  [[nodiscard]] constexpr int count() const noexcept { return (has_constant ? 1 : 0) + linear_count() + pair_count(); }
  [[nodiscard]] constexpr int constant_at() const noexcept {
    return order == feature_order::rotation_octets ? count() - 1 : 0;
  }
  [[nodiscard]] constexpr int linear_at() const noexcept {
    return order == feature_order::rotation_octets ? pair_count() : (has_constant ? 1 : 0);
  }
  [[nodiscard]] constexpr int pairs_at() const noexcept {
    return order == feature_order::rotation_octets ? 0 : linear_at() + linear_count();
  }

  /// The n-th term.
  [[nodiscard]] feature_term term(int n) const noexcept {
    bool const octets = order == feature_order::rotation_octets;
    double const weights[3] = {Map::c0, Map::c1, Map::c2};
    auto const weighted = [&](int first, int second, double coefficient) {
      double const root = constexpr_sqrt(coefficient);
      return octets ? feature_term{first, second, 1, coefficient} : feature_term{first, second, root, root};
    };
    if (has_constant && n == constant_at()) {
      return weighted(-1, -1, weights[0]);
    }
    if (n >= linear_at() && n < linear_at() + linear_count()) {
      return weighted(n - linear_at(), -1, weights[1]);
    }
    int const pair = n - pairs_at();
    if (order == feature_order::full) {
      return weighted(pair / dim, pair % dim, weights[2]);
    }
    if (order == feature_order::packed) {
      int row = 0;
      int begin = 0;
      for (; pair >= begin + dim - row; ++row) {
        begin += dim - row;
      }
      int const column = row + pair - begin;
      return weighted(row, column, row == column ? weights[2] : 2 * weights[2]);
    }
    octet const o = list::at(pair / 8);
    int const lane = pair % 8;
    return weighted(8 * o.a + lane, 8 * o.b + (lane + o.shift) % 8, list::weight(o));
  }

  /// Where x_i x_j is listed: one place, or two.
  int find_pair(int i, int j, int (&places)[2]) const noexcept {
    int const low = i < j ? i : j;
    int const high = i < j ? j : i;
    if (order == feature_order::packed) {
      places[0] = pairs_at() + low * dim - low * (low - 1) / 2 + (high - low);
      return 1;
    }
    if (order == feature_order::full) {
      places[0] = pairs_at() + low * dim + high;
      places[1] = pairs_at() + high * dim + low;
      return low == high ? 1 : 2;
    }
    int const a = low / 8;
    int const b = high / 8;
    int const forward = (high - low) & 7;   // the rotation that takes low's lane to high's
    int const backward = (8 - forward) & 7;
    if (a != b) {
      int const first = list::first_of(a) + 5 + 8 * (b - a - 1);
      places[0] = pairs_at() + (forward < 4 ? 8 * (first + forward) + low % 8 : 8 * (first + 3 + backward) + high % 8);
      return 1;
    }
    int const first = list::first_of(a);
    places[0] = pairs_at() + (forward <= 4 ? 8 * (first + forward) + low % 8 : 8 * (first + backward) + high % 8);
    places[1] = pairs_at() + 8 * (first + 4) + high % 8;
    return forward == 4 ? 2 : 1;
  }

  /// Where the term with these coordinates is listed.
  int find(feature_term const& wanted, int (&places)[2]) const noexcept {
    if (wanted.second >= 0) {
      return find_pair(wanted.first, wanted.second, places);
    }
    places[0] = wanted.first < 0 ? constant_at() : linear_at() + wanted.first;
    return 1;
  }
};

inline bool check_features(diagnostic& report, erased_view const& view, std::int64_t features,
                           std::int64_t columns) noexcept {
  if (view.extents[0] != features || view.extents[1] != columns) {
    return report.fail(view.name, " has ", view.extents[0], " features of ", view.extents[1], " columns; ", features,
                       " of ", columns, " are accepted; size it with linattn::feature_count");
  }
  return check_view(report, view, false);
}

}  // namespace detail

/// The number of features that a map has in an order: 153, 273 and 161 for taylor<16>.
template <PolynomialMap Map>
constexpr int feature_count(feature_order order) noexcept {
  return detail::feature_list<Map>{order}.count();
}

/// The n-th feature of an order, 0 <= n < feature_count<Map>(order).
template <PolynomialMap Map>
feature_term feature_term_at(feature_order order, int n) noexcept {
  return detail::feature_list<Map>{order}.term(n);
}

/// The query's side of the n-th feature, from a prepared row: its sum with a converted state is the map's score.
template <PolynomialMap Map, class Real>
Real query_feature(feature_order order, Real const* x, int n) noexcept {
  feature_term const term = feature_term_at<Map>(order, n);
  if (term.first >= Map::head_dim || term.second >= Map::head_dim) {
    return Real(0);
  }
  Real value = static_cast<Real>(term.query_weight);
  value = term.first < 0 ? value : value * x[term.first];
  return term.second < 0 ? value : value * x[term.second];
}

/// Writes the state `in`, whose features are in the order `from`, to `out` in the order `to`: the rows of one slot and
/// head of kv, or of k_sum as one column. A feature that the source lists twice is averaged, which keeps every score.
/// Shapes    in (feature_count<Map>(from), columns), out (feature_count<Map>(to), columns); any strides.
/// Numerics  one product a number (and one sum where the source lists a pair twice); weights are computed in double.
/// Sync      returns when done; one thread.
/// Throws    shape_error before any work; in and out share no memory.
/// Source    docs/state.md, feature orders.
template <PolynomialMap Map, std::floating_point Real>
void convert_features(feature_order from, feature_order to, std::type_identity_t<tensor_view<Real const, 2>> const& in,
                      tensor_view<Real, 2> const& out) {
  detail::feature_list<Map> const source{from};
  detail::feature_list<Map> const target{to};
  diagnostic report("convert_features");
  detail::erased_view const in_view = detail::erase("in", in);
  detail::erased_view const out_view = detail::erase("out", out);
  if (detail::check_features(report, in_view, source.count(), in_view.extents[1]) &&
      detail::check_features(report, out_view, target.count(), in_view.extents[1]) &&
      detail::check_output(report, out_view)) {
    detail::check_disjoint(report, out_view, in_view);
  }
  detail::raise_unless_ok(report);
  std::int64_t const columns = in.extents[1];
  for (int n = 0; n < target.count(); ++n) {
    feature_term const wanted = target.term(n);
    if (wanted.first >= Map::head_dim || wanted.second >= Map::head_dim) {
      for (std::int64_t c = 0; c < columns; ++c) {
        out(n, c) = Real(0);
      }
      continue;
    }
    int places[2] = {};
    int const count = source.find(wanted, places);
    Real const factor = static_cast<Real>(wanted.state_weight / (count * source.term(places[0]).state_weight));
    for (std::int64_t c = 0; c < columns; ++c) {
      out(n, c) = factor * (count == 1 ? in(places[0], c) : in(places[0], c) + in(places[1], c));
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI

#endif
