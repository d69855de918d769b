// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One table of options: name, what it takes, where it goes. Usage text and error messages are made from it.
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>
#include <vector>

#include "support/attention_kernel.hpp"

namespace example {
namespace {

struct option {
  std::string_view name;
  std::string accepts;  // empty for a switch
  std::string meaning;
  std::function<bool(options&, std::string_view)> set;  // false: the value is not accepted
};

/// The whole of `text` is a number within the limits.
template <class Number>
bool read_number(std::string_view text, Number least, Number most, Number& value) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= least && value <= most;
}

template <class Number>
auto number(Number options::*member, Number least, Number most) {
  return [=](options& all, std::string_view text) { return read_number(text, least, most, all.*member); };
}

auto model_number(int model_settings::*member, int least, int most) {
  return [=](options& all, std::string_view text) { return read_number(text, least, most, all.model.*member); };
}

auto turn_on(bool options::*member) {
  return [=](options& all, std::string_view) { return all.*member = true; };
}

std::string kernel_names() {
  std::string names;
  for (std::string_view const name : attention_kernel_names()) {
    if (!names.empty()) {
      names += '|';
    }
    names += name;
  }
  return names;
}

bool set_kernel(options& all, std::string_view text) {
  all.model.kernel = text;
  auto const names = attention_kernel_names();
  return std::find(names.begin(), names.end(), text) != names.end();
}

bool set_blocks(options& all, std::string_view text) {
  all.model.blocks = text;
  return !text.empty() && text.size() <= 64 && text.find_first_not_of("ca") == std::string_view::npos;
}

std::vector<option> const& table() {
  static std::vector<option> const options_table = {
      {"--kernel", kernel_names(), "the feature map of the attention", set_kernel},
      {"--seconds", "1..86400", "training time", number(&options::seconds, 1.0, 86400.0)},
      {"--steps", "1..1000000000", "train so many steps instead", number(&options::steps, 1, 1000000000)},
      {"--prompt", "TEXT", "what the generated text continues; else the start of a held-out line",
       [](options& all, std::string_view text) {
         all.prompt = text;
         return !text.empty();
       }},
      {"--generate", "0..1000000", "bytes to generate", number(&options::generate, 0, 1000000)},
      {"--temperature", "0..10", "of sampling; 0 takes the likeliest", number(&options::temperature, 0.0F, 10.0F)},
      {"--threads", "1..256", "worker threads", number(&options::threads, 1, 256)},
      {"--seed", "0..4294967295", "of the weights, the batches and the sampling", number(&options::seed, 0U, ~0U)},
      {"--blocks", "letters c and a", "the model's blocks: convolution, attention", set_blocks},
      {"--width", "1..4096", "of the residual stream", model_number(&model_settings::width, 1, 4096)},
      {"--heads", "1..256", "attention heads", model_number(&model_settings::heads, 1, 256)},
      {"--value-dim", "1..1024", "width of a head's values", model_number(&model_settings::value_dim, 1, 1024)},
      {"--taps", "1..64", "of a convolution", model_number(&model_settings::taps, 1, 64)},
      {"--time", "8..65536", "bytes of a training window", number(&options::time, 8, 65536)},
      {"--batch", "1..4096", "windows a step", number(&options::batch, 1, 4096)},
      {"--rate", "1e-6..1", "peak learning rate", number(&options::rate, 1e-6F, 1.0F)},
      {"--smoke", "", "a small model for a few seconds; fails if it does not learn", turn_on(&options::smoke)},
      {"--check-gradients", "", "compare every layer with finite differences and stop",
       turn_on(&options::check_gradients)},
      {"--help", "", "this text", turn_on(&options::help)},
  };
  return options_table;
}

option const& find(std::string_view name) {
  std::string known;
  for (option const& each : table()) {
    if (each.name == name) {
      return each;
    }
    known.append(1, ' ').append(each.name);
  }
  throw usage_error("unknown option " + std::string(name) + "; accepted are FILE and" + known);
}

}  // namespace

options parse_options(int count, char const* const* arguments) {
  options all;
  for (int i = 1; i < count; ++i) {
    std::string_view const argument = arguments[i];
    if (!argument.starts_with("-") || argument == "-") {
      if (!all.file.empty()) {
        throw usage_error("a second file, " + std::string(argument) + "; exactly one FILE is accepted");
      }
      all.file = argument;
      continue;
    }
    option const& known = find(argument);
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
  if (all.file.empty() && !all.help && !all.check_gradients) {
    throw usage_error("no FILE; give the text to train on (--help lists the options)");
  }
  all.model.seed = all.seed;
  return all;
}

std::string usage() {
  constexpr std::size_t kColumn = 32;
  std::string text = "language_model FILE [options]: trains a byte-level language model on FILE with linattn\n";
  for (option const& each : table()) {
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

}  // namespace example
