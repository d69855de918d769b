// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Feature orders: a converted state gives the same scores, whatever it went through. No engine is involved: the states
// here are summed directly.
#include <doctest/doctest.h>

#include <linattn/feature/identity.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/state_order.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using linattn::feature_order;
constexpr feature_order orders[] = {feature_order::packed, feature_order::full, feature_order::rotation_octets};

template <int HeadDim>
using seven_halves = linattn::polynomial<HeadDim, std::ratio<7, 2>, std::ratio<0>, std::ratio<3>>;

std::vector<double> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> numbers(count);
  for (double& x : numbers) {
    x = normal(engine);
  }
  return numbers;
}

/// A state over a few tokens, summed from the map's own features, and what it must say about a query.
template <class Map>
struct problem {
  static constexpr int tokens = 5, columns = 3;
  static constexpr std::size_t d = Map::head_dim;
  std::vector<double> q = random_numbers(d, 1), k = random_numbers(tokens * d, 2),
                      v = random_numbers(tokens * columns, 3);
  std::vector<double> state = std::vector<double>(static_cast<std::size_t>(Map::feature_dim) * columns);

  problem() {
    for (int n = 0; n < Map::feature_dim; ++n) {
      for (int t = 0; t < tokens; ++t) {
        for (int c = 0; c < columns; ++c) {
          state[static_cast<std::size_t>(n * columns + c)] +=
              Map{}.feature(k.data() + static_cast<std::size_t>(t) * d, n) * v[static_cast<std::size_t>(t * columns + c)];
        }
      }
    }
  }

  /// sum_t score(<q, k_t>) v_t, and the sum of its absolute terms.
  std::pair<double, double> expected(int c) const {
    double sum = 0;
    double absolute = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      double s = 0;
      double s_absolute = 0;
      for (std::size_t i = 0; i < d; ++i) {
        s += q[i] * k[t * d + i];
        s_absolute += std::abs(q[i] * k[t * d + i]);
      }
      double const value = v[t * columns + static_cast<std::size_t>(c)];
      sum += (Map::c0 + Map::c1 * s + Map::c2 * s * s) * value;
      absolute += (Map::c0 + Map::c1 * s_absolute + Map::c2 * s_absolute * s_absolute) * std::abs(value);
    }
    return {sum, absolute};
  }
};

template <class Map>
std::vector<double> convert(feature_order from, feature_order to, std::vector<double> const& in, int columns) {
  std::vector<double> out(static_cast<std::size_t>(linattn::feature_count<Map>(to)) * static_cast<std::size_t>(columns),
                          std::nan(""));
  linattn::convert_features<Map>(
      from, to, linattn::tensor_view<double const, 2>{in.data(), {linattn::feature_count<Map>(from), columns}},
      linattn::tensor_view<double, 2>{out.data(), {linattn::feature_count<Map>(to), columns}});
  return out;
}

}  // namespace

TEST_CASE("the numbers of features are the documented ones") {
  CHECK(linattn::feature_count<linattn::taylor<16>>(feature_order::packed) == 153);
  CHECK(linattn::feature_count<linattn::taylor<16>>(feature_order::full) == 273);
  CHECK(linattn::feature_count<linattn::taylor<16>>(feature_order::rotation_octets) == 161);
  CHECK(linattn::feature_count<linattn::rebased<16>>(feature_order::packed) == 136);
  CHECK(linattn::feature_count<linattn::rebased<16>>(feature_order::full) == 256);
  CHECK(linattn::feature_count<linattn::rebased<16>>(feature_order::rotation_octets) == 144);
  CHECK(linattn::feature_count<linattn::power<32>>(feature_order::rotation_octets) == 544);
  CHECK(linattn::feature_count<linattn::power<64>>(feature_order::rotation_octets) == 2112);
  CHECK(linattn::feature_count<linattn::power<5>>(feature_order::rotation_octets) == 40);
  CHECK(linattn::feature_count<linattn::identity<7>>(feature_order::packed) == 7);
}

TEST_CASE_TEMPLATE("the terms of an order are the score, each coordinate pair once in sum", Map, linattn::taylor<1>,
                   linattn::taylor<5>, linattn::taylor<16>, linattn::rebased<24>, linattn::power<17>, seven_halves<9>,
                   linattn::identity<6>) {
  for (feature_order order : orders) {
    CAPTURE(static_cast<int>(order));
    // Coefficients of x_i x_j y_i y_j, summed over the terms, against those of c0 + c1 <x,y> + c2 <x,y>^2.
    constexpr int d = Map::head_dim;
    std::vector<double> pairs(static_cast<std::size_t>(d * d));
    std::vector<double> linear(static_cast<std::size_t>(d));
    double constant = 0;
    for (int n = 0; n < linattn::feature_count<Map>(order); ++n) {
      linattn::feature_term const term = linattn::feature_term_at<Map>(order, n);
      double const weight = term.query_weight * term.state_weight;
      if (term.first >= d || term.second >= d) {
        continue;
      }
      if (term.second >= 0) {
        auto const [low, high] = std::minmax(term.first, term.second);
        pairs[static_cast<std::size_t>(low * d + high)] += weight;
      } else if (term.first >= 0) {
        linear[static_cast<std::size_t>(term.first)] += weight;
      } else {
        constant += weight;
      }
    }
    CHECK(constant == doctest::Approx(Map::c0));
    for (int i = 0; i < d; ++i) {
      CHECK(linear[static_cast<std::size_t>(i)] == doctest::Approx(Map::c1));
      for (int j = i; j < d; ++j) {
        CHECK(pairs[static_cast<std::size_t>(i * d + j)] == doctest::Approx(i == j ? Map::c2 : 2 * Map::c2));
      }
    }
  }
}

TEST_CASE_TEMPLATE("packed terms are the map's own features", Map, linattn::taylor<1>, linattn::taylor<5>,
                   linattn::rebased<16>, seven_halves<9>, linattn::identity<6>) {
  std::vector<double> const x = random_numbers(Map::head_dim, 4);
  for (int n = 0; n < Map::feature_dim; ++n) {
    CHECK(linattn::query_feature<Map>(feature_order::packed, x.data(), n) ==
          doctest::Approx(Map{}.feature(x.data(), n)).epsilon(1e-14));
  }
}

TEST_CASE("octets are rotations of blocks of eight") {
  using map = linattn::power<16>;
  std::set<std::pair<int, int>> seen;
  for (int octet = 0; octet < 18; ++octet) {
    linattn::feature_term const first = linattn::feature_term_at<map>(feature_order::rotation_octets, 8 * octet);
    CHECK(first.first % 8 == 0);
    for (int g = 1; g < 8; ++g) {
      linattn::feature_term const term = linattn::feature_term_at<map>(feature_order::rotation_octets, 8 * octet + g);
      CHECK(term.query_weight == 1);
      CHECK(term.state_weight == first.state_weight);
      CHECK(term.first == first.first + g);
      CHECK(term.second == first.second / 8 * 8 + (first.second + g) % 8);
    }
    CHECK(seen.emplace(first.first, first.second).second);
  }
}

TEST_CASE_TEMPLATE("a query in any order times the converted state gives the weighted sum", Map, linattn::taylor<1>,
                   linattn::taylor<5>, linattn::taylor<16>, linattn::rebased<8>, linattn::rebased<20>, seven_halves<17>,
                   linattn::identity<6>) {
  problem<Map> const p;
  for (feature_order middle : orders) {
    for (feature_order order : orders) {
      CAPTURE(static_cast<int>(middle));
      CAPTURE(static_cast<int>(order));
      auto const through = convert<Map>(feature_order::packed, middle, p.state, p.columns);
      auto const state = convert<Map>(middle, order, through, p.columns);
      for (int c = 0; c < p.columns; ++c) {
        double sum = 0;
        for (int n = 0; n < linattn::feature_count<Map>(order); ++n) {
          sum += linattn::query_feature<Map>(order, p.q.data(), n) * state[static_cast<std::size_t>(n * p.columns + c)];
        }
        auto const [expected, absolute] = p.expected(c);
        CHECK(std::abs(sum - expected) <= 1e-14 * absolute);
      }
      auto const back = convert<Map>(order, feature_order::packed, state, p.columns);
      for (std::size_t i = 0; i < back.size(); ++i) {
        CHECK(std::abs(back[i] - p.state[i]) <= 1e-14 * (1 + std::abs(p.state[i])));
      }
    }
  }
}

TEST_CASE("a state that lists a pair twice with different numbers keeps its scores") {
  using map = linattn::taylor<5>;
  std::vector<double> const q = random_numbers(5, 6);
  auto const score = [&](feature_order order, std::vector<double> const& state) {
    double sum = 0;
    for (int n = 0; n < linattn::feature_count<map>(order); ++n) {
      sum += linattn::query_feature<map>(order, q.data(), n) * state[static_cast<std::size_t>(n)];
    }
    return sum;
  };
  for (feature_order from : {feature_order::full, feature_order::rotation_octets}) {
    auto const given = random_numbers(static_cast<std::size_t>(linattn::feature_count<map>(from)), 5);
    for (feature_order to : orders) {
      CHECK(score(to, convert<map>(from, to, given, 1)) == doctest::Approx(score(from, given)).epsilon(1e-12));
    }
  }
}

TEST_CASE("strided views convert as contiguous ones do, in float too") {
  using map = linattn::taylor<9>;
  constexpr int columns = 2, packed = map::feature_dim;
  constexpr int octets = linattn::feature_count<map>(feature_order::rotation_octets);
  std::vector<float> in(packed * columns);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in[i] = static_cast<float>(i) - 20.F;
  }
  std::vector<float> transposed(octets * columns), rows(octets * columns);
  linattn::tensor_view<float const, 2> const source{in.data(), {packed, columns}};
  linattn::convert_features<map>(feature_order::packed, feature_order::rotation_octets, source,
                                 linattn::tensor_view<float, 2>{rows.data(), {octets, columns}});
  linattn::convert_features<map>(feature_order::packed, feature_order::rotation_octets, source,
                                 linattn::tensor_view<float, 2>{transposed.data(), {octets, columns}, {1, octets}});
  for (std::size_t n = 0; n < octets; ++n) {
    CHECK(rows[n * columns] == transposed[n]);
    CHECK(rows[n * columns + 1] == transposed[octets + n]);
  }
}

TEST_CASE("bad views are refused and nothing is written") {
  using map = linattn::taylor<4>;
  std::vector<float> in(15 * 2, 1.F);
  std::vector<float> out(21 * 2, 7.F);
  using in_view = linattn::tensor_view<float const, 2>;
  using out_view = linattn::tensor_view<float, 2>;
  auto const refuses = [&](in_view const& source, out_view const& target, char const* part) {
    try {
      linattn::convert_features<map>(feature_order::packed, feature_order::full, source, target);
      FAIL("accepted");
    } catch (linattn::shape_error const& error) {
      CHECK(std::string(error.what()).find(part) != std::string::npos);
      CHECK(std::string(error.what()).rfind("linattn::convert_features: ", 0) == 0);
    }
    for (float x : out) {
      CHECK(x == 7.F);
    }
  };
  in_view const good_in{in.data(), {15, 2}};
  out_view const good_out{out.data(), {21, 2}};
  refuses(in_view{in.data(), {14, 2}}, good_out, "in has 14 features of 2 columns; 15 of 2 are accepted");
  refuses(good_in, out_view{out.data(), {20, 2}}, "out has 20 features");
  refuses(good_in, out_view{out.data(), {21, 1}}, "out has 21 features of 1 columns");
  refuses(in_view{nullptr, {15, 2}}, good_out, "in is null");
  refuses(in_view{in.data(), {15, -2}}, good_out, "negative extent");
  refuses(good_in, out_view{out.data(), {21, 2}, {0, 1}}, "stride of 0");
  refuses(in_view{out.data() + 3, {15, 2}}, good_out, "overlaps");
  linattn::convert_features<map>(feature_order::packed, feature_order::full, good_in, good_out);
  CHECK(out[0] == 1.F);
}
