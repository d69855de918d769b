// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What each device primitive must give, by direct formulas on the host. Runs emulated and on a GPU.
#ifndef LINATTN_TESTS_EMU_PRIMITIVE_CASES_HPP
#define LINATTN_TESTS_EMU_PRIMITIVE_CASES_HPP

#include <linattn/core/element.hpp>
#include <linattn/simt/launch.hpp>

#include "emu/device_buffer.hpp"
#include "emu/primitive_kernels.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace linattn_test {

/// What is wrong; empty: nothing.
using finding = std::string;

template <class T>
finding differs(std::vector<T> const& got, std::vector<T> const& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(&got[i], &expected[i], sizeof(T)) != 0) {
      return "element " + std::to_string(i) + " of " + std::to_string(expected.size()) + " differs";
    }
  }
  return {};
}

template <class Kernel>
void launch(simt::extent3 grid, typename Kernel::Params const& params) {
  require(simt::launch<Kernel>(grid, params, nullptr));
}

inline finding check_indices() {
  simt::extent3 const grid{3, 2, 2};
  device_buffer<unsigned> out(12 * 64 * 14);
  launch<index_kernel>(grid, {out.data()});
  std::vector<unsigned> expected;
  for (unsigned block = 0; block < 12; ++block) {
    for (unsigned t = 0; t < 64; ++t) {
      for (unsigned value : {t, 0U, 0U, block % 3, block / 3 % 2, block / 6, 64U, 1U, 1U, 3U, 2U, 2U, t % 32, t / 32}) {
        expected.push_back(value);
      }
    }
  }
  return differs(out.download(), expected);
}

template <class T>
finding check_shuffles() {
  std::vector<T> in;
  for (int lane = 0; lane < 32; ++lane) {
    in.push_back(static_cast<T>(lane * lane) + static_cast<T>(1000000));
  }
  device_buffer<T> device_in(in);
  device_buffer<T> out(5 * 32);
  launch<shuffle_kernel<T>>({}, {device_in.data(), out.data()});
  std::vector<T> expected(5 * 32);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    expected[lane] = in[(5 * lane + 3) % 32];
    expected[32 + lane] = in[lane ^ 9U];
    expected[64 + lane] = in[lane < 3 ? lane : lane - 3];
    expected[96 + lane] = in[lane + 5 > 31 ? lane : lane + 5];
    expected[128 + lane] = in[lane < 16 ? lane ^ 8U : lane];
  }
  return differs(out.download(), expected);
}

inline finding check_ballot() {
  device_buffer<unsigned> out(64);
  launch<ballot_kernel>({}, {out.data()});
  std::vector<unsigned> expected(64);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    expected[lane] = 0x49249249U;
    expected[32 + lane] = lane >= 20 ? 0x55500000U : 0U;
  }
  return differs(out.download(), expected);
}

template <int N>
finding check_ldmatrix() {
  std::vector<std::uint16_t> in(64 * N);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in[i] = static_cast<std::uint16_t>(977 * i + 13);
  }
  device_buffer<std::uint16_t> device_in(in);
  device_buffer<std::uint32_t> out(3 * N * 32);
  launch<ldmatrix_kernel<N>>({}, {device_in.data(), out.data()});
  std::vector<std::uint32_t> expected;
  for (bool const transposed : {false, true, true}) {
    for (std::size_t matrix = 0; matrix < N; ++matrix) {
      for (std::size_t lane = 0; lane < 32; ++lane) {
        auto const element = [&](std::size_t i) -> std::uint32_t {
          std::size_t const row = lane / 4;
          std::size_t const column = lane % 4 * 2 + i;
          return in[matrix * 64 + (transposed ? column * 8 + row : row * 8 + column)];
        };
        expected.push_back(element(0) | element(1) << 16U);
      }
    }
  }
  return differs(out.download(), expected);
}

/// Whole numbers make every order of the sum exact, so that a misplaced element shows; fractions show the rounding.
inline std::vector<float> numbers(std::size_t count, unsigned seed, bool whole) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (auto& value : values) {
    auto const random = static_cast<float>(generator() % 4096U);
    value = whole ? std::fmod(random, 33.0F) - 16.0F : (random - 2048.0F) / 1024.0F;
  }
  return values;
}

/// c + a b in double, against what the device has; a (rows, K), b (K, 8).
template <class T>
finding check_product(std::vector<T> const& got, std::vector<T> const& c, std::vector<double> const& a,
                      std::vector<double> const& b, std::size_t depth, double tolerance) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    double sum = static_cast<double>(c[i]);
    double size = std::abs(sum);
    for (std::size_t k = 0; k < depth; ++k) {
      double const term = a[i / 8 * depth + k] * b[k * 8 + i % 8];
      sum += term;
      size += std::abs(term);
    }
    double const error = std::abs(static_cast<double>(got[i]) - sum);
    if (!(error <= tolerance * size)) {
      return "element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", not " + std::to_string(sum);
    }
  }
  return {};
}

/// `to_word` gives an operand's bits, `value` what they are worth.
template <class Word, multiplication Kind, class ToWord, class Value>
finding check_mma(std::size_t depth, ToWord to_word, Value value) {
  for (bool const whole : {true, false}) {
    std::vector<Word> a, b;
    std::vector<double> a_values, b_values;
    for (float const x : numbers(16 * depth, 1, whole)) {
      a.push_back(to_word(x));
      a_values.push_back(value(a.back()));
    }
    for (float const x : numbers(depth * 8, 2, whole)) {
      b.push_back(to_word(x));
      b_values.push_back(value(b.back()));
    }
    auto const c = numbers(16 * 8, 3, whole);
    device_buffer<Word> device_a(a), device_b(b);
    device_buffer<float> device_c(c);
    launch<mma_kernel<Word, static_cast<int>(Kind)>>({}, {device_a.data(), device_b.data(), device_c.data()});
    double const tolerance = whole ? 0.0 : 16 * 0x1p-23;
    finding const wrong = check_product(device_c.download(), c, a_values, b_values, depth, tolerance);
    if (!wrong.empty()) {
      return wrong;
    }
  }
  return {};
}

template <class Element, multiplication Kind>
finding check_mma_16bit() {
  return check_mma<std::uint16_t, Kind>(
      16, [](float x) { return Element(x).bits; },
      [](std::uint16_t bits) {
        Element element;
        element.bits = bits;
        return static_cast<double>(static_cast<float>(element));
      });
}

/// The low 13 bits of an operand are set: they must not count.
inline finding check_mma_tf32() {
  return check_mma<std::uint32_t, multiplication::tf32>(
      8, [](float x) { return x == 0.0F ? 0U : simt::bits_of(x) | 0x1fffU; },
      [](std::uint32_t bits) { return static_cast<double>(simt::float_from_bits(bits & ~0x1fffU)); });
}

inline finding check_mma_f64() {
  std::mt19937_64 generator(5);
  std::normal_distribution<double> normal;
  std::vector<double> a(32), b(32), c(64);
  for (auto* const operand : {&a, &b, &c}) {
    for (auto& x : *operand) {
      x = normal(generator);
    }
  }
  device_buffer<double> device_a(a), device_b(b), device_c(c);
  launch<mma_f64_kernel>({}, {device_a.data(), device_b.data(), device_c.data()});
  return check_product(device_c.download(), c, a, b, 4, 8 * 0x1p-53);
}

template <int Bytes>
finding check_copy() {
  std::vector<std::uint8_t> in(32 * Bytes);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in[i] = static_cast<std::uint8_t>(i * 7 + 1);
  }
  device_buffer<std::uint8_t> device_in(in);
  device_buffer<std::uint8_t> out(2 * in.size());
  launch<copy_kernel<Bytes>>({}, {device_in.data(), out.data()});
  std::vector<std::uint8_t> expected = in;
  for (std::size_t i = 0; i < in.size(); ++i) {
    std::size_t const lane = i / Bytes;
    expected.push_back(i % Bytes < lane % (Bytes + 1) ? in[i] : std::uint8_t{0});
  }
  return differs(out.download(), expected);
}

template <class T>
finding check_load_store() {
  std::vector<T> in(32);
  for (std::size_t i = 0; i < in.size(); ++i) {
    std::memset(static_cast<void*>(&in[i]), static_cast<int>(3 * i + 1), sizeof(T));
  }
  device_buffer<T> device_in(in);
  device_buffer<T> out(64);
  launch<load_store_kernel<T>>({}, {device_in.data(), out.data()});
  std::vector<T> expected(in.rbegin(), in.rend());
  expected.insert(expected.end(), in.begin(), in.end());
  return differs(out.download(), expected);
}

inline std::uint32_t pair_of(std::uint16_t low, std::uint16_t high) {
  return low | static_cast<std::uint32_t>(high) << 16U;
}

template <class Element>
std::uint16_t product_of(float x, float y) {
  return Element(static_cast<float>(Element(x)) * static_cast<float>(Element(y))).bits;
}

inline finding check_numbers() {
  std::vector<float> x = {0.0F,  -0.0F,  1.0F,        65504.0F,    65520.0F, 1e-7F,
                          3e-8F, -6e-5F, 1.00390625F, 1.01171875F, -1e30F};
  std::mt19937 generator(11);
  std::normal_distribution<float> normal;
  while (x.size() < 200) {
    x.push_back(normal(generator) * std::exp2(static_cast<float>(generator() % 12U) - 6.0F));
  }
  std::vector<float> y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    y.push_back(0.5F + static_cast<float>(generator() % 1000U) / 300.0F);
  }
  device_buffer<float> device_x(x), device_y(y);
  device_buffer<std::uint32_t> out(number_kernel::kResults * x.size());
  launch<number_kernel>({}, {device_x.data(), device_y.data(), out.data(), static_cast<int>(x.size())});
  auto const got = out.download();
  using linattn::bf16;
  using linattn::f16;
  for (std::size_t i = 0; i < x.size(); ++i) {
    float const quotient = simt::float_from_bits(got[9 * x.size() + i]);
    float const divided = x[i] / y[i];
    std::uint32_t const bits = simt::bits_of(x[i]);
    std::uint32_t const expected[] = {
        pair_of(bf16(x[i]).bits, bf16(y[i]).bits),
        pair_of(f16(x[i]).bits, f16(y[i]).bits),
        pair_of(product_of<bf16>(x[i], y[i]), product_of<bf16>(y[i], y[i])),
        pair_of(product_of<f16>(x[i], y[i]), product_of<f16>(y[i], y[i])),
        simt::bits_of(static_cast<float>(bf16(x[i]))),
        simt::bits_of(static_cast<float>(bf16(y[i]))),
        simt::bits_of(static_cast<float>(f16(x[i]))),
        simt::bits_of(static_cast<float>(f16(y[i]))),
        (bits & 0x80000000U) | (((bits & 0x7fffffffU) + 0x1000U) & ~0x1fffU),
    };
    for (std::size_t r = 0; r < 9; ++r) {
      if (got[r * x.size() + i] != expected[r]) {
        return "result " + std::to_string(r) + " of " + std::to_string(x[i]) + ", " + std::to_string(y[i]);
      }
    }
    if (!(std::abs(quotient - divided) <= 0x1p-22F * std::abs(divided))) {
      return "quotient of " + std::to_string(x[i]) + ", " + std::to_string(y[i]);
    }
  }
  return {};
}

inline finding check_barriers() {
  device_buffer<int> out(128);
  launch<barrier_kernel>({}, {out.data()});
  std::vector<int> expected;
  for (int i = 0; i < 96; ++i) {
    expected.push_back(100 * (i / 32) + 31 - i % 32);
  }
  for (int i = 0; i < 32; ++i) {
    expected.push_back(1000 + 31 - i);
  }
  return differs(out.download(), expected);
}

inline finding check_reductions() {
  std::vector<float> in(128);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  }
  device_buffer<float> device_in(in);
  device_buffer<float> out(5 * 128);
  launch<reduce_kernel>({}, {device_in.data(), out.data()});
  std::vector<float> expected(5 * 128, 0.0F);
  float total = 0.0F;
  for (float const value : in) {
    total += value;
  }
  for (std::size_t i = 0; i < 128; ++i) {
    std::size_t const first = i / 32 * 32;
    float largest = -std::numeric_limits<float>::infinity();
    for (std::size_t k = first; k < first + 32; ++k) {
      expected[i] += in[k];
      largest = in[k] > largest ? in[k] : largest;
      expected[256 + i] += k <= i ? in[k] : 0.0F;
    }
    expected[128 + i] = largest;
    expected[384 + i] = total + 128.0F;
    expected[512 + i] = 20.0F;
  }
  return differs(out.download(), expected);
}

inline finding check_anew() {
  device_buffer<double> out(7 * 32);
  launch<anew_kernel>({}, {{0.1, -70000, {-3, 4}}, {{5, 6, 250}}, out.data()});
  std::vector<double> expected;
  for (double const number : {0.1, -70000.0, -3.0, 4.0, 5.0, 6.0, 250.0}) {
    for (int lane = 0; lane < 32; ++lane) {
      expected.push_back(number * lane);
    }
  }
  return differs(out.download(), expected);
}

inline finding check_set_zero() {
  device_buffer<int> out(std::vector<int>(100, 7));
  require(simt::set_zero(out.data(), out.bytes(), nullptr));
  return differs(out.download(), std::vector<int>(100, 0));
}

struct primitive_case {
  char const* name;
  finding (*check)();
};

inline std::vector<primitive_case> primitive_cases() {
  using linattn::bf16;
  using linattn::f16;
  return {
      {"indices and extents", check_indices},
      {"shuffles of float", check_shuffles<float>},
      {"shuffles of double", check_shuffles<double>},
      {"shuffles of int", check_shuffles<int>},
      {"shuffles of 32 bits", check_shuffles<std::uint32_t>},
      {"ballot", check_ballot},
      {"ldmatrix of 1, movmatrix", check_ldmatrix<1>},
      {"ldmatrix of 2, movmatrix", check_ldmatrix<2>},
      {"ldmatrix of 4, movmatrix", check_ldmatrix<4>},
      {"mma bf16", check_mma_16bit<bf16, multiplication::bf16>},
      {"mma f16", check_mma_16bit<f16, multiplication::f16>},
      {"mma tf32", check_mma_tf32},
      {"mma f64", check_mma_f64},
      {"copy_async of 4 bytes", check_copy<4>},
      {"copy_async of 8 bytes", check_copy<8>},
      {"copy_async of 16 bytes", check_copy<16>},
      {"load, store of 1 byte", check_load_store<std::uint8_t>},
      {"load, store of 2 bytes", check_load_store<bf16>},
      {"load, store of 4 bytes", check_load_store<float>},
      {"load, store of 8 bytes", check_load_store<double>},
      {"load, store of 16 bytes", check_load_store<simt::vector16>},
      {"packing, converting, dividing", check_numbers},
      {"barriers, 60 KiB of shared memory", check_barriers},
      {"reductions and scans, shared addresses", check_reductions},
      {"a value anew", check_anew},
      {"set_zero", check_set_zero},
  };
}

}  // namespace linattn_test

#endif
