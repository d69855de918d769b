// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// text.hpp: reading, splitting, dealing windows, and the two baselines.
#include "text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "options.hpp"

namespace example {
namespace {

constexpr std::size_t kHeldOutShare = 20;  // the last 1/20

std::size_t index_of(char byte) { return static_cast<unsigned char>(byte); }

}  // namespace

text_corpus::text_corpus(std::string const& path, int window) {
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open() || std::filesystem::is_directory(path)) {
    throw usage_error("cannot read " + path + "; accepted: a readable file");
  }
  content_.assign(std::istreambuf_iterator<char>(file), {});
  training_size_ = content_.size() - content_.size() / kHeldOutShare;
  auto const least = static_cast<std::size_t>(window + 1) * kHeldOutShare;
  if (content_.size() < least) {
    throw usage_error(path + " has " + std::to_string(content_.size()) + " bytes; at least " + std::to_string(least) +
                      " are needed for windows of " + std::to_string(window));
  }
  symbol_of_.fill(-1);
  for (char const byte : content_) {
    symbol_of_[index_of(byte)] = 0;
  }
  for (int byte = 0; byte < 256; ++byte) {
    int& symbol = symbol_of_[static_cast<std::size_t>(byte)];
    if (symbol == 0) {
      symbol = vocabulary();
      bytes_.push_back(static_cast<char>(byte));
    }
  }
  symbols_ = encode(content_);
}

std::vector<int> text_corpus::encode(std::string_view text) const {
  std::vector<int> symbols;
  symbols.reserve(text.size());
  for (char const byte : text) {
    int const symbol = symbol_of_[index_of(byte)];
    if (symbol >= 0) {
      symbols.push_back(symbol);
    }
  }
  return symbols;
}

std::string text_corpus::held_out_opening() const {
  constexpr std::size_t kLength = 24;
  std::string_view const bytes = held_out_bytes();
  std::size_t const newline = bytes.find('\n');
  bool const fits = newline != std::string_view::npos && newline + kLength < bytes.size();
  return std::string(bytes.substr(fits ? newline + 1 : 0, kLength));
}

double text_corpus::unigram_bits() const {
  std::vector<double> counts(bytes_.size(), 1);
  for (int const symbol : training()) {
    ++counts[static_cast<std::size_t>(symbol)];
  }
  double const total = static_cast<double>(training_size_ + bytes_.size());
  double bits = 0;
  for (int const symbol : held_out()) {
    bits -= std::log2(counts[static_cast<std::size_t>(symbol)] / total);
  }
  return bits / static_cast<double>(held_out().size());
}

std::optional<double> bzip2_bits(std::string_view text) {
  // Through the command, so that the example links nothing for one number. tmpfile is gone when it is closed.
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) {
    return std::nullopt;
  }
  std::fwrite(text.data(), 1, text.size(), file);
  std::rewind(file);  // also flushes; the command below inherits the descriptor
  std::string const command = "bzip2 -9 -c < /dev/fd/" + std::to_string(fileno(file)) + " 2>/dev/null | wc -c";
  long packed = 0;
  if (std::FILE* const pipe = popen(command.c_str(), "r")) {
    if (std::fscanf(pipe, "%ld", &packed) != 1) {
      packed = 0;
    }
    pclose(pipe);
  }
  std::fclose(file);
  if (packed <= 0) {
    return std::nullopt;
  }
  return 8.0 * static_cast<double>(packed) / static_cast<double>(text.size());
}

void window_dealer::shuffle() {
  auto const window = static_cast<std::size_t>(window_);
  std::size_t const phase = random_() % window;
  for (std::size_t start = phase; start + window < text_.size(); start += window) {
    starts_.push_back(start);
  }
  std::shuffle(starts_.begin(), starts_.end(), random_);
}

void window_dealer::deal(std::span<int> tokens, std::span<int> targets) {
  if (starts_.empty()) {
    shuffle();
  }
  auto const start = static_cast<std::ptrdiff_t>(starts_.back());
  starts_.pop_back();
  std::copy_n(text_.begin() + start, window_, tokens.begin());
  std::copy_n(text_.begin() + start + 1, window_, targets.begin());
}

}  // namespace example
