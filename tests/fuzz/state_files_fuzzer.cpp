// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// State files: whatever the bytes, load() returns a state that save() writes as the same bytes, or throws state_error. Half
// of the inputs are good files with changes and a matching check at the end, which no fuzzer would guess.
#include "fuzz/bytes.hpp"

#include <linattn/feature/taylor.hpp>
#include <linattn/state_io.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>

namespace linattn_test {
namespace {

using map_type = linattn::taylor<2>;

std::string good_file(bytes& input) {
  linattn::host_state<map_type> state(input.below(3), input.below(3), input.below(4),
                                      input.flag() ? linattn::state_layout::value_major
                                                   : linattn::state_layout::feature_major);
  std::ostringstream out;
  linattn::save(out, state);
  return out.str();
}

/// The last 8 bytes become the check of those before.
void make_check_match(std::string& file) {
  std::size_t const body = file.size() - 8;
  linattn::detail::state_check check;
  check.add(reinterpret_cast<unsigned char const*>(file.data()), body);
  for (std::size_t i = 0; i < 8; ++i) {
    file[body + i] = static_cast<char>(check.value() >> (8 * i));
  }
}

std::string made_up_file(bytes& input) {
  if (input.flag()) {
    return {reinterpret_cast<char const*>(input.rest()), input.left()};
  }
  std::string file = good_file(input);
  for (int changes = input.below(6); changes > 0; --changes) {
    std::size_t const at = static_cast<std::size_t>(input.byte() | input.byte() << 8) % file.size();
    file[at] = static_cast<char>(input.byte());
  }
  if (input.flag()) {
    file.resize(file.size() - static_cast<std::size_t>(input.below(8)));
  }
  if (input.flag()) {
    make_check_match(file);
  }
  return file;
}

}  // namespace
}  // namespace linattn_test

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  linattn_test::bytes input(data, size);
  std::string const file = linattn_test::made_up_file(input);
  std::istringstream in(file);
  try {
    auto const state = linattn::load<linattn_test::map_type>(in);
    std::ostringstream out;
    linattn::save(out, state);
    // The stored scores may differ in their last bits: everything behind them is the same.
    std::string const again = out.str();
    linattn_test::require(again.size() <= file.size(), "a loaded state is no larger than its file");
    std::size_t const scores_end = 16 + 3 * 8 + std::strlen(linattn_test::map_type::name) + 5 * 8;
    for (std::size_t i = scores_end; i + 8 < again.size(); ++i) {
      linattn_test::require(again[i] == file[i], "a loaded state is saved as it was");
    }
  } catch (linattn::state_error const&) {
  }
  return 0;
}
