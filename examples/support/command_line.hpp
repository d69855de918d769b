// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The examples' command lines: one table of options - name, what it accepts, where it goes - from which the usage text
// and the messages are made. Not a general parser: long options, each value a word of its own.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace example {

/// A message for the user, on one line: what was wrong, and what is accepted.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A command's exit code: run()'s, or 2 for a bad command line and 1 for any other error, whose message is printed.
template <class Run>
int exit_code_of(char const* command, Run&& run) {
  try {
    return run();
  } catch (std::exception const& error) {
    std::fprintf(stderr, "%s: %s\n", command, error.what());
    return dynamic_cast<usage_error const*>(&error) != nullptr ? 2 : 1;
  }
}

template <class Options>
struct option {
  std::string_view name;
  std::string accepts;  // empty for a switch
  std::string meaning;
  std::function<bool(Options&, std::string_view)> set;  // false: the value is not accepted
};

/// The whole of `text` is a number within the limits.
template <class Number>
bool read_number(std::string_view text, Number least, Number most, Number& value) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= least && value <= most;
}

/// Numbers with commas between them, at least one.
template <class Number>
bool read_numbers(std::string_view text, Number least, Number most, std::vector<Number>& values) {
  values.clear();
  for (;;) {
    std::size_t const comma = text.find(',');
    if (!read_number(text.substr(0, comma), least, most, values.emplace_back())) {
      return false;
    }
    if (comma == std::string_view::npos) {
      return true;
    }
    text.remove_prefix(comma + 1);
  }
}

template <class Options, class Number>
auto number(Number Options::*member, Number least, Number most) {
  return [=](Options& all, std::string_view text) { return read_number(text, least, most, all.*member); };
}

template <class Options, class Number>
auto numbers(std::vector<Number> Options::*member, Number least, Number most) {
  return [=](Options& all, std::string_view text) { return read_numbers(text, least, most, all.*member); };
}

template <class Options>
auto turn_on(bool Options::*member) {
  return [=](Options& all, std::string_view) { return all.*member = true; };
}

inline std::string join(std::vector<std::string_view> const& words, char separator) {
  std::string all;
  for (std::string_view const word : words) {
    all.append(all.empty() ? 0 : 1, separator).append(word);
  }
  return all;
}

template <class Options>
class command_line {
 public:
  using positional_setter = std::function<void(Options&, std::string_view)>;

  /// `opening` heads the usage text. `positional`, if any, is called `positional_name` in messages.
  command_line(std::string opening, std::vector<option<Options>> table, std::string positional_name = "",
               positional_setter positional = nullptr)
      : opening_(std::move(opening)),
        table_(std::move(table)),
        positional_name_(std::move(positional_name)),
        positional_(std::move(positional)) {}

  /// Throws usage_error. Options are set in the order in which they are given.
  void parse(int count, char const* const* arguments, Options& all) const {
    for (int i = 1; i < count; ++i) {
      std::string_view const argument = arguments[i];
      if (positional_ && (!argument.starts_with("-") || argument == "-")) {
        positional_(all, argument);
        continue;
      }
      option<Options> const& known = find(argument);
      std::string_view value;
      if (!known.accepts.empty()) {
        if (++i == count) {
          throw usage_error(std::string(known.name) + " has no value; accepted: " + known.accepts);
        }
        value = arguments[i];
      }
      if (!known.set(all, value)) {
        throw usage_error(std::string(known.name) + " " + std::string(value) + "; accepted: " + known.accepts);
      }
    }
  }

  std::string usage() const {
    constexpr std::size_t kColumn = 32;
    std::string text = opening_ + "\n";
    for (option<Options> const& each : table_) {
      std::string line(2, ' ');
      line.append(each.name).append(1, ' ').append(each.accepts);
      if (line.size() >= kColumn) {
        text += line + "\n";
        line.clear();
      }
      line.resize(kColumn, ' ');
      text += line + each.meaning + "\n";
    }
    return text;
  }

 private:
  option<Options> const& find(std::string_view name) const {
    std::vector<std::string_view> known;
    for (option<Options> const& each : table_) {
      if (each.name == name) {
        return each;
      }
      known.push_back(each.name);
    }
    throw usage_error("unknown option " + std::string(name) + "; accepted are " +
                      (positional_ ? positional_name_ + " and " : "") + join(known, ' '));
  }

  std::string opening_;
  std::vector<option<Options>> table_;
  std::string positional_name_;
  positional_setter positional_;
};

}  // namespace example
