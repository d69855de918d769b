// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The text: bytes to symbols (only those that occur), a training part and the held-out last twentieth, training windows
// in a shuffled order, and what a model must beat: the unigram entropy and bzip2. Not a tokenizer.
#pragma once

#include <array>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace example {

class text_corpus {
 public:
  /// Throws usage_error if the file cannot be read or is too short for windows of `window` bytes.
  text_corpus(std::string const& path, int window);

  int vocabulary() const { return static_cast<int>(bytes_.size()); }
  std::span<int const> training() const { return std::span(symbols_).first(training_size_); }
  std::span<int const> held_out() const { return std::span(symbols_).subspan(training_size_); }
  std::string_view held_out_bytes() const { return std::string_view(content_).substr(training_size_); }
  std::string_view content() const { return content_; }

  /// Bytes that never occur in the file have no symbol and are left out.
  std::vector<int> encode(std::string_view text) const;
  char decode(int symbol) const { return bytes_[static_cast<std::size_t>(symbol)]; }

  /// The start of the first whole line of the held-out part: a prompt that the training has not seen.
  std::string held_out_opening() const;

  /// Bits a byte of the held-out part under the byte frequencies of the training part (with one added to each count).
  double unigram_bits() const;

 private:
  std::string content_;
  std::vector<int> symbols_;
  std::vector<char> bytes_;           // symbol -> byte
  std::array<int, 256> symbol_of_{};  // byte -> symbol, or -1
  std::size_t training_size_ = 0;
};

/// Bits a byte of `text` as bzip2 -9 packs it; nothing where the bzip2 command is missing.
std::optional<double> bzip2_bits(std::string_view text);

/// Deals windows of the text without replacement; each pass over the text starts at another phase, in another order.
class window_dealer {
 public:
  window_dealer(std::span<int const> text, int window, unsigned seed) : text_(text), window_(window), random_(seed) {}

  /// `window` tokens, and as targets the token after each.
  void deal(std::span<int> tokens, std::span<int> targets);

 private:
  void shuffle();

  std::span<int const> text_;
  int window_;
  std::mt19937 random_;
  std::vector<std::size_t> starts_;
};

}  // namespace example
