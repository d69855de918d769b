// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// States in streams: what was saved comes back bit for bit, and nothing else is ever loaded.
#include <doctest/doctest.h>

#include <linattn/feature/elu_plus_one.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/state_io.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <sstream>
#include <string>
#include <string_view>

namespace {

using linattn::host_state;
using linattn::state_layout;

template <class Map, class Real = float>
host_state<Map, Real> random_state(std::int64_t batch, std::int64_t kv_heads, std::int64_t value_dim,
                                   state_layout layout = state_layout::feature_major) {
  host_state<Map, Real> state(batch, kv_heads, value_dim, layout);
  std::mt19937 engine(7);
  std::normal_distribution<Real> normal;
  for (Real& x : state.kv_data()) {
    x = normal(engine);
  }
  for (Real& x : state.k_sum_data()) {
    x = normal(engine);
  }
  return state;
}

template <class Map, class Real>
std::string saved(host_state<Map, Real> const& state) {
  std::ostringstream out;
  linattn::save(out, state);
  return out.str();
}

template <class State>
bool same_numbers(State const& a, State const& b) {
  auto const equal = [](auto x, auto y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
  };
  return equal(a.kv_data(), b.kv_data()) && equal(a.k_sum_data(), b.k_sum_data());
}

/// The error of loading these bytes; empty if they load.
template <class Map, class Real = float>
std::string load_error(std::string const& bytes) {
  std::istringstream in(bytes);
  try {
    static_cast<void>(linattn::load<Map, Real>(in));
    return "";
  } catch (linattn::state_error const& error) {
    return error.what();
  }
}

bool contains(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// A file with a valid check, whatever else is wrong with it.
std::string with_new_check(std::string bytes) {
  bytes.resize(bytes.size() - 8);
  std::uint64_t check = 0xcbf29ce484222325ULL;
  for (char byte : bytes) {
    check = (check ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  }
  for (unsigned i = 0; i < 64; i += 8) {
    bytes.push_back(static_cast<char>(check >> i & 0xffU));
  }
  return bytes;
}

constexpr std::size_t sizes_at = 16 + 3 * 8 + std::string_view("polynomial").size() + 5 * 8;  // layout, batch, ...

}  // namespace

TEST_CASE_TEMPLATE("a saved state comes back bit for bit, in its layout", Map, linattn::taylor<3>, linattn::power<4>,
                   linattn::rebased<2>, linattn::elu_plus_one<5>) {
  for (state_layout layout : {state_layout::feature_major, state_layout::value_major}) {
    auto const floats = random_state<Map>(2, 3, 5, layout);
    std::istringstream in(saved(floats));
    auto const loaded = linattn::load<Map>(in);
    CHECK(loaded.layout() == layout);
    CHECK(loaded.batch() == 2);
    CHECK(loaded.kv_heads() == 3);
    CHECK(loaded.value_dim() == 5);
    CHECK(same_numbers(loaded, floats));

    auto const doubles = random_state<Map, double>(1, 2, 7, layout);
    std::istringstream in_doubles(saved(doubles));
    CHECK(same_numbers(linattn::load<Map, double>(in_doubles), doubles));
  }
}

TEST_CASE("a state larger than one piece comes back, with denormals, infinities and NaNs") {
  auto state = random_state<linattn::taylor<16>>(3, 2, 33);
  REQUIRE(state.kv_data().size() > 4 * linattn::detail::state_piece);
  state.kv_data()[0] = std::bit_cast<float>(0x7fc12345U);
  state.kv_data()[1] = std::bit_cast<float>(0xff800000U);
  state.kv_data()[2] = std::bit_cast<float>(0x00000001U);
  state.kv_data()[3] = -0.F;
  std::istringstream in(saved(state));
  CHECK(same_numbers(linattn::load<linattn::taylor<16>>(in), state));
}

TEST_CASE("empty states come back") {
  for (std::int64_t batch : {0, 2}) {
    for (std::int64_t value_dim : {0, 3}) {
      std::istringstream in(saved(random_state<linattn::taylor<2>>(batch, 1, value_dim)));
      auto const loaded = linattn::load<linattn::taylor<2>>(in);
      CHECK(loaded.batch() == batch);
      CHECK(loaded.value_dim() == value_dim);
    }
  }
}

TEST_CASE("states follow each other in one stream, among other data") {
  auto const first = random_state<linattn::taylor<2>>(1, 2, 3);
  auto const second = random_state<linattn::rebased<3>>(2, 1, 1);
  std::stringstream stream;
  linattn::save(stream, first);
  linattn::save(stream, second);
  stream << "more";
  CHECK(same_numbers(linattn::load<linattn::taylor<2>>(stream), first));
  CHECK(same_numbers(linattn::load<linattn::rebased<3>>(stream), second));
  std::string rest;
  stream >> rest;
  CHECK(rest == "more");
}

TEST_CASE("the format is little-endian and does not change") {
  host_state<linattn::taylor<1>> state(1, 1, 1);
  state.kv_data()[0] = 1.F;
  state.kv_data()[1] = 2.F;
  state.kv_data()[2] = 3.F;
  std::string const bytes = saved(state);
  CHECK(bytes.size() == sizes_at + 4 * 8 + 6 * 4 + 8);
  CHECK(bytes.substr(0, 16) == std::string("linattn state\r\n\0", 16));
  CHECK(static_cast<int>(bytes[16]) == 1);
  CHECK(static_cast<int>(bytes[24]) == 4);
  CHECK(bytes.substr(40, 10) == "polynomial");
  CHECK(bytes.substr(sizes_at + 32, 8) == std::string("\0\0\x80\x3f\0\0\0\x40", 8));
  std::uint64_t check = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    check |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[bytes.size() - 8 + i])) << (8 * i);
  }
  CHECK(check == 0x39ef2ea00ac4fbf9ULL);  // computed by another program
}

TEST_CASE("every single changed byte is refused") {
  std::string const good = saved(random_state<linattn::taylor<2>>(1, 1, 2));
  REQUIRE(load_error<linattn::taylor<2>>(good) == "");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int change : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      std::string const error = load_error<linattn::taylor<2>>(bad);
      CAPTURE(i);
      CAPTURE(change);
      CHECK(error.rfind("linattn::load: ", 0) == 0);
      CHECK(std::count(error.begin(), error.end(), ';') == 2);
    }
  }
}

TEST_CASE("a stream that ends early is refused at every length") {
  std::string const good = saved(random_state<linattn::rebased<3>>(1, 2, 2));
  for (std::size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK(contains(load_error<linattn::rebased<3>>(good.substr(0, length)),
                   "the stream ends after " + std::to_string(length) + " bytes"));
  }
}

TEST_CASE("states of other maps, types and versions are refused by name") {
  std::string const taylor = saved(random_state<linattn::taylor<4>>(1, 1, 2));
  CHECK(contains(load_error<linattn::rebased<4>>(taylor), "another name; rebased/layer_norm is accepted"));
  CHECK(contains(load_error<linattn::taylor<3>>(taylor), "head_dim 4 and 15 features; 3 and 10 are accepted"));
  CHECK(contains(load_error<linattn::power<4>>(taylor), "head_dim 4 and 15 features; 4 and 10 are accepted"));
  using other = linattn::polynomial<4, std::ratio<1>, std::ratio<1>, std::ratio<1, 3>>;
  CHECK(contains(load_error<other>(taylor), "other scores of 0, 1 and 2"));
  CHECK(contains(load_error<linattn::taylor<4>, double>(taylor), "numbers of 4 bytes; 8 are accepted"));
  using none = linattn::rebased<4, linattn::normalize::none>;
  CHECK(contains(load_error<linattn::rebased<4>>(saved(random_state<none>(1, 1, 2))), "another name"));
  std::string version = taylor;
  version[16] = 2;
  CHECK(contains(load_error<linattn::taylor<4>>(with_new_check(version)), "format version 2; 1 is accepted"));
  CHECK(contains(load_error<linattn::taylor<4>>(std::string(400, 'x')), "does not begin as a state does"));
}

TEST_CASE("absurd sizes are refused without taking that memory") {
  std::string const good = saved(random_state<linattn::taylor<2>>(1, 1, 2));
  for (std::size_t field = 0; field < 4; ++field) {
    for (std::size_t byte : {2U, 4U, 5U, 6U, 7U}) {
      std::string bad = good;
      bad[sizes_at + 8 * field + byte] = 0x7f;
      CAPTURE(field);
      CAPTURE(byte);
      std::string const error = load_error<linattn::taylor<2>>(with_new_check(bad));
      CHECK((contains(error, "the stream ends after") || contains(error, "layouts 0 and 1 and sizes up to 2^48")));
    }
  }
  std::string all = good;
  for (std::size_t field = 1; field < 4; ++field) {
    all[sizes_at + 8 * field + 5] = 0x7f;  // three sizes whose product overflows 64 bits
  }
  CHECK(contains(load_error<linattn::taylor<2>>(with_new_check(all)), "the stream ends after"));
}

TEST_CASE("a stream that fails is reported") {
  auto const state = random_state<linattn::taylor<2>>(1, 1, 2);
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  CHECK_THROWS_AS(linattn::save(out, state), linattn::state_error);
  std::istringstream in(saved(state));
  in.setstate(std::ios::failbit);
  CHECK_THROWS_AS(static_cast<void>(linattn::load<linattn::taylor<2>>(in)), linattn::state_error);
  std::istringstream throwing("short");
  throwing.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
  CHECK_THROWS_AS(static_cast<void>(linattn::load<linattn::taylor<2>>(throwing)), linattn::state_error);
}
