// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One table of options: name, what it takes, where it goes. Usage text and error messages are made from it.
#include "options.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace example {
namespace {

auto model_number(int model_settings::*member, int least, int most) {
  return [=](options& all, std::string_view text) { return read_number(text, least, most, all.model.*member); };
}

bool set_kernel(options& all, std::string_view text) {
  all.model.kernel = text;
  auto const names = mixer_names();
  return std::find(names.begin(), names.end(), text) != names.end();
}

bool set_blocks(options& all, std::string_view text) {
  all.model.blocks = text;
  return !text.empty() && text.size() <= 64 && text.find_first_not_of("ca") == std::string_view::npos;
}

std::vector<option<options>> table() {
  return {
      {"--kernel", join(mixer_names(), '|'), "the feature map of the attention, or a rival of it", set_kernel},
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
}

void set_file(options& all, std::string_view name) {
  if (!all.file.empty()) {
    throw usage_error("a second file, " + std::string(name) + "; exactly one FILE is accepted");
  }
  all.file = name;
}

command_line<options> const& accepted() {
  static command_line<options> const line(
      "language_model FILE [options]: trains a byte-level language model on FILE with linattn", table(), "FILE",
      set_file);
  return line;
}

}  // namespace

options parse_options(int count, char const* const* arguments) {
  options all;
  accepted().parse(count, arguments, all);
  if (all.file.empty() && !all.help && !all.check_gradients) {
    throw usage_error("no FILE; give the text to train on (--help lists the options)");
  }
  all.model.seed = all.seed;
  return all;
}

std::string usage() { return accepted().usage(); }

}  // namespace example
