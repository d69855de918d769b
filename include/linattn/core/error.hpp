// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Errors and the grammar of their messages: `linattn::<where>: <got>; <accepted>; <what to do>`.
// A diagnostic holds the text without allocating, so that checks can be noexcept; raise() is the only place that throws.
#ifndef LINATTN_CORE_ERROR_HPP
#define LINATTN_CORE_ERROR_HPP

#include <linattn/core/config.hpp>

#include <concepts>
#include <cstddef>
#include <stdexcept>
#if defined(LINATTN_NO_EXCEPTIONS)
#include <cstdio>
#include <exception>
#endif

namespace linattn::inline LINATTN_ABI {

namespace detail {
/// One more number of a list in a message: ", 32".
struct next_in_list {
  long long value;
};
}  // namespace detail

/// Arguments that do not fit together: shapes, strides, aliases, null views, bad parameters. Thrown before any work.
class shape_error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A state file that is corrupt, or that belongs to another map or shape. Thrown before anything is written.
class state_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The outcome of a check: empty when all is well, else the text of the first problem found. Never allocates.
class diagnostic {
 public:
  diagnostic() = default;
  explicit diagnostic(char const* where) noexcept : where_(where) {}

  [[nodiscard]] bool ok() const noexcept { return length_ == 0; }
  [[nodiscard]] char const* message() const noexcept { return text_; }

  /// Records the message made of the parts (texts and integers), unless there is one already. Returns false, so that
  /// a check can say `return report.fail(...)`.
  template <class... Parts>
  bool fail(Parts const&... parts) noexcept {
    if (ok()) {
      append("linattn::");
      append(where_);
      append(": ");
      (append(parts), ...);
    }
    return false;
  }

 private:
  void append(char const* text) noexcept {
    for (; *text != '\0' && length_ + 1 < sizeof(text_); ++text) {
      text_[length_++] = *text;
    }
    text_[length_] = '\0';
  }

  template <std::integral Integer>
  void append(Integer value) noexcept {
    char digits[24] = {};
    std::size_t n = sizeof(digits) - 1;
    bool negative = false;
    if constexpr (std::signed_integral<Integer>) {
      negative = value < 0;
    }
    do {
      int const digit = static_cast<int>(value % 10);
      digits[--n] = static_cast<char>('0' + (digit < 0 ? -digit : digit));
      value = static_cast<Integer>(value / 10);
    } while (value != 0);
    if (negative) {
      digits[--n] = '-';
    }
    append(static_cast<char const*>(digits + n));
  }

  void append(detail::next_in_list item) noexcept {
    append(", ");
    append(item.value);
  }

  char const* where_ = "";
  std::size_t length_ = 0;
  char text_[448] = {};
};

namespace detail {

/// Throws Error with the text, or prints it and terminates where exceptions are off.
template <class Error>
[[noreturn]] inline void raise(char const* message) {
#if defined(LINATTN_NO_EXCEPTIONS)
  std::fputs(message, stderr);
  std::fputc('\n', stderr);
  std::terminate();
#else
  throw Error(message);
#endif
}

inline void raise_unless_ok(diagnostic const& report) {
  if (!report.ok()) {
    raise<shape_error>(report.message());
  }
}

}  // namespace detail
}  // namespace linattn::inline LINATTN_ABI

#endif
