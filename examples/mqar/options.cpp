// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// options.hpp: the table of options, and the presets.
#include "options.hpp"

#include <algorithm>
#include <string_view>

namespace example {
namespace {

// The paper's: ReBased and its ablations, Based, and what they are compared with.
constexpr std::string_view kAllMixers =
    "rebased,rebased_norm,rebased_gamma_beta,rebased_gamma,rebased_plain,based,elu_plus_one,softmax,mamba,rwkv";

bool set_mixers(options& all, std::string_view text) {
  if (text == "all") {
    text = kAllMixers;
  }
  auto const known = mixer_names();
  all.mixers.clear();
  for (;;) {
    std::size_t const comma = text.find(',');
    std::string_view const name = text.substr(0, comma);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return false;
    }
    all.mixers.emplace_back(name);
    if (comma == std::string_view::npos) {
      return true;
    }
    text.remove_prefix(comma + 1);
  }
}

bool set_pairs(options& all, std::string_view text) {
  all.pairs = 0;
  return text == "paper" || read_number(text, 1, 1 << 20, all.pairs);
}

auto set_blocks(std::string options::*member) {
  return [member](options& all, std::string_view text) {
    all.*member = text;
    return !text.empty() && text.size() <= 64 && text.find_first_not_of("ca") == std::string_view::npos;
  };
}

bool set_deviation(options& all, std::string_view text) {
  all.deviation = kByWidth;
  return text == "by-width" || read_number(text, 1e-6F, 1.0F, all.deviation);
}

bool set_preset(options& all, std::string_view name) {
  if (name == "laptop") {
    set_mixers(all, "all");
    all.rates = {3e-3F, 1e-2F, 1e-3F};
    all.seeds = 3;
    return true;
  }
  if (name == "paper") {
    set_mixers(all, "all");
    all.times = {128, 256, 512, 1024, 2048};
    all.widths = {64, 128, 256, 512};
    all.rates = {1e-3F, 3e-3F, 5e-4F, 1e-2F};
    all.pairs = 0;
    all.vocabulary = 8192;
    all.heads = 12;
    all.softmax_heads = 1;
    all.rival_blocks = "aa";
    all.deviation = 0.02F;
    all.seeds = 5;
    all.batch = 512;
    all.examples = 100000;
    all.test_examples = 3000;
    all.evaluate_every = 195;       // once an epoch
    all.steps = 64 * 100000 / 512;  // 64 epochs
    all.stop_after = kMany;
    return true;
  }
  return false;
}

std::vector<option<options>> table() {
  return {
      {"--preset", "laptop|paper", "a set of runs; options after it change it", set_preset},
      {"--mixer", "all, or of " + join(mixer_names(), '|') + ", commas between", "what the second layer mixes with",
       set_mixers},
      {"--T", "8..65536, commas between", "tokens of an example", numbers(&options::times, 8, 65536)},
      {"--K", "1..1048576, or paper", "keys of an example; paper: T/4, but 16 at T = 128", set_pairs},
      {"--N", "4..1048576", "vocabulary: keys and values, half of it each", number(&options::vocabulary, 4, 1 << 20)},
      {"--d-model", "1..4096, commas between", "width of the model", numbers(&options::widths, 1, 4096)},
      {"--heads", "1..256", "attention heads", number(&options::heads, 1, 256)},
      {"--softmax-heads", "1..256", "those of softmax, if they are not as many",
       number(&options::softmax_heads, 1, 256)},
      {"--blocks", "letters c and a", "the layers: short convolution, mixer", set_blocks(&options::blocks)},
      {"--rival-blocks", "letters c and a", "those of mamba and rwkv, if they are others",
       set_blocks(&options::rival_blocks)},
      {"--start", "by-width, or 1e-6..1", "deviation of the mixers' start values; by-width: 1 / sqrt(3 inputs)",
       set_deviation},
      {"--lr", "1e-6..1, commas between", "learning rates; the first seed tries all, until one reaches 99 %",
       numbers(&options::rates, 1e-6F, 1.0F)},
      {"--seeds", "1..1000", "runs at the best rate", number(&options::seeds, 1, 1000)},
      {"--steps", "1..1000000000", "over which the learning rate falls to 0", number(&options::steps, 1, kMany)},
      {"--stop-after", "1..1000000000", "of these, the steps of a run that does not reach 99 % before",
       number(&options::stop_after, 1, kMany)},
      {"--batch", "1..65536", "examples a step", number(&options::batch, 1, 65536)},
      {"--examples", "1..1000000000", "in the training set", number(&options::examples, 1, kMany)},
      {"--tests", "1..1000000000", "examples in the test set", number(&options::test_examples, 1, kMany)},
      {"--evaluate-every", "1..1000000000", "steps between tests", number(&options::evaluate_every, 1, kMany)},
      {"--threads", "1..256", "worker threads", number(&options::threads, 1, 256)},
      {"--out", "PATH", "results go to PATH.csv and PATH.json; runs that are in PATH.csv are not run again",
       [](options& all, std::string_view text) {
         all.out = text;
         return !text.empty();
       }},
      {"--benchmark", "1..100000",
       "only train the first mixer so many steps; each step's loss and seconds, and PATH's "
       "weights and examples for another program to do the same",
       number(&options::benchmark, 1, 100000)},
      {"--figure", "", "draw PATH_accuracy.svg and PATH_ablation.svg", turn_on(&options::figure)},
      {"--report", "", "run nothing: table and figures of what PATH.csv has", turn_on(&options::report)},
      {"--help", "", "this text", turn_on(&options::help)},
  };
}

command_line<options> const& accepted() {
  static command_line<options> const line(
      "mqar [options]: multi-query associative recall, by linear attention and its rivals", table());
  return line;
}

}  // namespace

options parse_options(int count, char const* const* arguments) {
  options all;
  accepted().parse(count, arguments, all);
  for (int const time : all.times) {  // found out now, not after hours
    mqar_task(run_of(all, all.mixers.front(), time, all.widths.front()).task);
  }
  return all;
}

std::string usage() { return accepted().usage(); }

run_settings run_of(options const& all, std::string const& mixer, int time, int width) {
  int const paper_pairs = time == 128 ? 16 : time / 4;
  bool const is_rival = mixer == "mamba" || mixer == "rwkv";
  return {.mixer = mixer,
          .blocks = is_rival && !all.rival_blocks.empty() ? all.rival_blocks : all.blocks,
          .task = {.time = time, .pairs = all.pairs == 0 ? paper_pairs : all.pairs, .vocabulary = all.vocabulary},
          .width = width,
          .heads = mixer == "softmax" && all.softmax_heads > 0 ? all.softmax_heads : all.heads,
          .batch = all.batch,
          .steps = all.steps,
          .stop_after = std::min(all.stop_after, all.steps),
          .examples = all.examples,
          .test_examples = all.test_examples,
          .evaluate_every = all.evaluate_every,
          .deviation = all.deviation,
          .rate = all.rates.front(),
          .seed = 1};
}

}  // namespace example
