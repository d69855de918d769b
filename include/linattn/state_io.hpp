// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// States in streams: save() and load(), a binary format with a version and a check. The umbrella header leaves this one
// out, because iostreams take long to compile. It stores states alone, no parameters of the map.
#ifndef LINATTN_STATE_IO_HPP
#define LINATTN_STATE_IO_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/error.hpp>
#include <linattn/core/math.hpp>
#include <linattn/state.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <istream>
#include <ostream>
#include <span>
#include <streambuf>
#include <type_traits>
#include <vector>

namespace linattn::inline LINATTN_ABI {
namespace detail {

inline constexpr char state_magic[] = "linattn state\r\n";  // 16 bytes with the 0; text mode would change them
inline constexpr std::uint64_t state_format_version = 1;
inline constexpr std::size_t state_piece = 4096;  // numbers that are read or written at once

/// FNV-1a of 64 bits: any single changed byte changes it.
class state_check {
 public:
  void add(unsigned char const* bytes, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      value_ = (value_ ^ bytes[i]) * 0x100000001b3ULL;
    }
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

/// What tells two maps of one name apart: the scores of 0, 1 and 2.
template <class Map>
void score_fingerprint(double (&scores)[3]) {
  Map const map{};
  for (int s = 0; s < 3; ++s) {
    scores[s] = static_cast<double>(map.score(static_cast<float>(s)));
  }
}

/// Rounding differs between machines, so that equal scores are only nearly equal.
inline bool same_score(double a, double b) noexcept {
  double const difference = a < b ? b - a : a - b;
  double const size = (a < 0 ? -a : a) + (b < 0 ? -b : b);
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b) || difference <= 1e-5 * size;
}

/// Writes little-endian numbers and keeps the check.
class state_writer {
 public:
  explicit state_writer(std::ostream& out) noexcept : out_(&out) {}

  void bytes(unsigned char const* data, std::size_t count) {
    check_.add(data, count);
    out_->write(reinterpret_cast<char const*>(data), static_cast<std::streamsize>(count));
  }
  void integer(std::uint64_t value) {
    unsigned char data[8];
    for (std::size_t i = 0; i < 8; ++i) {
      data[i] = static_cast<unsigned char>(value >> (8 * i));
    }
    bytes(data, 8);
  }
  template <class Real>
  void reals(std::span<Real const> values) {
    using word = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
    unsigned char data[state_piece * sizeof(Real)];
    for (std::size_t done = 0; done < values.size(); done += state_piece) {
      std::size_t const count = values.size() - done < state_piece ? values.size() - done : state_piece;
      for (std::size_t i = 0; i < count; ++i) {
        word const bits = std::bit_cast<word>(values[done + i]);
        for (std::size_t b = 0; b < sizeof(Real); ++b) {
          data[i * sizeof(Real) + b] = static_cast<unsigned char>(bits >> (8 * b));
        }
      }
      bytes(data, count * sizeof(Real));
    }
  }
  [[nodiscard]] std::uint64_t check() const noexcept { return check_.value(); }

 private:
  std::ostream* out_;
  state_check check_;
};

/// Reads what state_writer wrote. A failed read returns false and is reported as truncation.
class state_reader {
 public:
  state_reader(std::istream& in, diagnostic& report) noexcept : in_(&in), report_(&report) {}

  bool bytes(unsigned char* data, std::size_t count) {
    // From the buffer, so that a stream that throws on failbit is no special case.
    std::streambuf* const buffer = in_->good() ? in_->rdbuf() : nullptr;
    std::streamsize const wanted = static_cast<std::streamsize>(count);
    std::streamsize const got =
        buffer == nullptr ? 0 : buffer->sgetn(reinterpret_cast<char*>(data), wanted);
    read_ += got < 0 ? 0 : got;
    if (got != wanted) {
      return report_->fail("the stream ends after ", read_, " bytes; a whole state is accepted",
                           "; check that the stream is open, in binary mode, and that the file was copied in full");
    }
    check_.add(data, count);
    return true;
  }
  bool integer(std::uint64_t& value) {
    unsigned char data[8] = {};
    value = 0;
    bool const ok = bytes(data, 8);
    for (std::size_t i = 0; i < 8; ++i) {
      value |= static_cast<std::uint64_t>(data[i]) << (8 * i);
    }
    return ok;
  }
  /// Appends `count` numbers, piece by piece: the memory grows with what the stream holds, not with what it claims.
  template <class Real>
  bool reals(std::vector<Real>& values, std::uint64_t count) {
    using word = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
    unsigned char data[state_piece * sizeof(Real)];
    while (count > 0) {
      std::size_t const piece = count < state_piece ? static_cast<std::size_t>(count) : state_piece;
      if (!bytes(data, piece * sizeof(Real))) {
        return false;
      }
      std::size_t const done = values.size();
      values.resize(done + piece);
      for (std::size_t i = 0; i < piece; ++i) {
        word bits = 0;
        for (std::size_t b = 0; b < sizeof(Real); ++b) {
          bits |= static_cast<word>(static_cast<word>(data[i * sizeof(Real) + b]) << (8 * b));
        }
        values[done + i] = std::bit_cast<Real>(bits);
      }
      count -= piece;
    }
    return true;
  }
  [[nodiscard]] std::uint64_t check() const noexcept { return check_.value(); }

 private:
  std::istream* in_;
  diagnostic* report_;
  long long read_ = 0;
  state_check check_;
};

struct state_sizes {
  std::uint64_t layout = 0, batch = 0, kv_heads = 0, value_dim = 0;
};

/// Everything before the numbers; reports what is not this map's.
template <class Map, class Real>
bool read_state_header(state_reader& reader, diagnostic& report, state_sizes& sizes) {
  unsigned char magic[sizeof(state_magic)] = {};
  if (!reader.bytes(magic, sizeof(magic))) {
    return false;
  }
  if (std::memcmp(magic, state_magic, sizeof(magic)) != 0) {
    return report.fail("the stream does not begin as a state does; streams written by linattn::save are accepted",
                       "; check the file, and that it is opened in binary mode");
  }
  std::uint64_t version = 0, element_size = 0, head_dim = 0, feature_dim = 0, name_size = 0;
  if (!reader.integer(version)) {
    return false;
  }
  if (version != state_format_version) {
    return report.fail("the state has format version ", version, "; ", state_format_version,
                       " is accepted; load it with the release that wrote it");
  }
  if (!reader.integer(element_size) || !reader.integer(name_size)) {
    return false;
  }
  if (element_size != sizeof(Real)) {
    return report.fail("the state has numbers of ", element_size, " bytes; ", sizeof(Real),
                       " are accepted; load it as ", sizeof(Real) == 4 ? "double" : "float");
  }
  char const* const name = Map::name;
  std::size_t const own_size = std::strlen(name);
  bool same_name = name_size == own_size;
  for (std::size_t i = 0; i < own_size && same_name; ++i) {
    unsigned char letter = 0;
    if (!reader.bytes(&letter, 1)) {
      return false;
    }
    same_name = letter == static_cast<unsigned char>(name[i]);
  }
  if (!same_name) {
    return report.fail("the state is of a map with another name; ", name,
                       " is accepted; load it with the map that it was made with");
  }
  double expected[3] = {};
  score_fingerprint<Map>(expected);
  bool same_scores = true;
  if (!reader.integer(head_dim) || !reader.integer(feature_dim)) {
    return false;
  }
  for (double const score : expected) {
    std::uint64_t bits = 0;
    if (!reader.integer(bits)) {
      return false;
    }
    same_scores = same_scores && same_score(std::bit_cast<double>(bits), score);
  }
  if (head_dim != std::uint64_t{Map::head_dim} || feature_dim != std::uint64_t{Map::feature_dim}) {
    return report.fail("the state has head_dim ", head_dim, " and ", feature_dim, " features; ", Map::head_dim, " and ",
                       Map::feature_dim, " are accepted; load it with the map that it was made with");
  }
  if (!same_scores) {
    return report.fail("the state is of a map with other scores of 0, 1 and 2; those of ", name,
                       " are accepted; load it with the map that it was made with");
  }
  constexpr std::uint64_t limit = std::uint64_t{1} << 48U;
  if (!reader.integer(sizes.layout) || !reader.integer(sizes.batch) || !reader.integer(sizes.kv_heads) ||
      !reader.integer(sizes.value_dim)) {
    return false;
  }
  if (sizes.layout > 1 || sizes.batch > limit || sizes.kv_heads > limit || sizes.value_dim > limit) {
    return report.fail("the state has layout ", sizes.layout, ", batch ", sizes.batch, ", kv_heads ", sizes.kv_heads,
                       ", value_dim ", sizes.value_dim, "; layouts 0 and 1 and sizes up to 2^48 are accepted",
                       "; the file is damaged, take a good copy");
  }
  return true;
}

}  // namespace detail

/// Writes a state at the stream's position. States may follow each other in one stream.
/// Numerics  bit for bit; little-endian on every machine.
/// Throws    state_error if the stream fails.
/// Source    docs/state.md, files.
template <FeatureMap Map, class Real>
void save(std::ostream& out, host_state<Map, Real> const& state) {
  detail::state_writer writer(out);
  char const* const name = Map::name;
  double scores[3] = {};
  detail::score_fingerprint<Map>(scores);
  writer.bytes(reinterpret_cast<unsigned char const*>(detail::state_magic), sizeof(detail::state_magic));
  writer.integer(detail::state_format_version);
  writer.integer(sizeof(Real));
  writer.integer(std::strlen(name));
  writer.bytes(reinterpret_cast<unsigned char const*>(name), std::strlen(name));
  writer.integer(Map::head_dim);
  writer.integer(Map::feature_dim);
  for (double const score : scores) {
    writer.integer(std::bit_cast<std::uint64_t>(score));
  }
  writer.integer(state.layout() == state_layout::value_major ? 1 : 0);
  writer.integer(static_cast<std::uint64_t>(state.batch()));
  writer.integer(static_cast<std::uint64_t>(state.kv_heads()));
  writer.integer(static_cast<std::uint64_t>(state.value_dim()));
  writer.reals(state.kv_data());
  writer.reals(state.k_sum_data());
  writer.integer(writer.check());
  if (!out) {
    detail::raise<state_error>(
        "linattn::save: the stream failed; a stream that takes the whole state is accepted; check the disk and the mode");
  }
}

/// Reads a state that save() wrote, and leaves the stream behind it.
/// Numerics  bit for bit; in the layout that it was saved in.
/// Throws    state_error if the stream holds no state, a damaged one, or one of another map or type: before anything is
///           returned, and with memory in proportion to what the stream really holds.
/// Source    docs/state.md, files.
template <FeatureMap Map, class Real = float>
  requires(std::same_as<Real, float> || std::same_as<Real, double>)
[[nodiscard]] host_state<Map, Real> load(std::istream& in) {
  diagnostic report("load");
  detail::state_reader reader(in, report);
  detail::state_sizes sizes;
  std::vector<Real> kv, k_sum;
  std::uint64_t check = 0, expected = 0;
  auto const read_all = [&] {
    if (!detail::read_state_header<Map, Real>(reader, report, sizes)) {
      return false;
    }
    std::int64_t const sums = detail::saturating_multiply(
        detail::saturating_multiply(static_cast<std::int64_t>(sizes.batch), static_cast<std::int64_t>(sizes.kv_heads)),
        Map::feature_dim);
    std::int64_t const products = detail::saturating_multiply(sums, static_cast<std::int64_t>(sizes.value_dim));
    if (!reader.reals(kv, static_cast<std::uint64_t>(products)) ||
        !reader.reals(k_sum, static_cast<std::uint64_t>(sums))) {
      return false;
    }
    expected = reader.check();
    return reader.integer(check);
  };
  if (read_all() && check != expected) {
    report.fail("the check at the end does not match; unchanged files are accepted; take a good copy");
  }
  if (!report.ok()) {
    detail::raise<state_error>(report.message());
  }
  host_state<Map, Real> state(static_cast<std::int64_t>(sizes.batch), static_cast<std::int64_t>(sizes.kv_heads),
                              static_cast<std::int64_t>(sizes.value_dim),
                              sizes.layout == 1 ? state_layout::value_major : state_layout::feature_major);
  std::copy(kv.begin(), kv.end(), state.kv_data().begin());
  std::copy(k_sum.begin(), k_sum.end(), state.k_sum_data().begin());
  return state;
}

}  // namespace linattn::inline LINATTN_ABI

#endif
