// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A byte-level language model on any text file: trains through linattn's forward and backward, reports bits a byte,
// generates through linattn's step. The order of the parts; each part has its own file.
#include <cmath>
#include <cstdio>

#include "generate.hpp"
#include "options.hpp"
#include "support/check_gradients.hpp"
#include "text.hpp"
#include "train.hpp"

namespace example {
namespace {

/// A model and a budget for a test's few seconds.
options shrink_for_smoke(options settings) {
  settings.model.blocks = "ca";
  settings.model.width = 64;
  settings.model.heads = 2;
  settings.model.value_dim = 32;
  settings.time = 128;
  settings.batch = 8;
  settings.steps = 60;
  settings.generate = 150;
  return settings;
}

void print_baselines(text_corpus const& text, double model_bits) {
  std::printf("held-out text: %zu bytes, bits a byte:\n", text.held_out().size());
  std::printf("  this model                          %.3f\n", model_bits);
  std::printf("  unigram of the training text        %.3f\n", text.unigram_bits());
  auto const held_out = bzip2_bits(text.held_out_bytes());
  auto const whole = bzip2_bits(text.content());
  if (held_out && whole) {
    std::printf("  bzip2 -9 of the same held-out text  %.3f\n", *held_out);
    std::printf("  bzip2 -9 of the whole file          %.3f\n", *whole);
  } else {
    std::printf("  bzip2: the command is not there\n");
  }
}

/// What the smoke run promises: the loss falls, and both forms agree.
bool smoke_passes(training_summary const& training, generation const& generated) {
  bool const falls = training.last_loss < 0.9 * training.first_loss;
  bool const agrees = generated.largest_difference <= 1e-4 * (1 + generated.largest_logit);
  std::printf("smoke: loss %.3f -> %.3f (%s), forms differ by %.1e (%s)\n", training.first_loss, training.last_loss,
              falls ? "falls" : "DOES NOT FALL", generated.largest_difference, agrees ? "agree" : "DISAGREE");
  return falls && agrees;
}

int run(options settings) {
  if (settings.help) {
    std::printf("%s", usage().c_str());
    return 0;
  }
  if (settings.check_gradients) {
    return check_gradients(settings.model.kernel, check_targets::all) ? 0 : 1;
  }
  if (settings.smoke) {
    settings = shrink_for_smoke(settings);
  }
  text_corpus const text(settings.file, settings.time);
  settings.model.vocabulary = text.vocabulary();
  if (settings.prompt.empty()) {
    settings.prompt = text.held_out_opening();
  } else if (text.encode(settings.prompt).empty()) {  // found out now, not after the training
    throw usage_error("--prompt has no byte that occurs in the text; accepted: any text with at least one");
  }
  model net(settings.model);
  std::printf("%s: %zu bytes, %d symbols; %s, blocks %s, width %d, %zu parameters; %d thread(s)\n",
              settings.file.c_str(), text.content().size(), text.vocabulary(), settings.model.kernel.c_str(),
              settings.model.blocks.c_str(), settings.model.width, net.parameters().size(), settings.threads);

  training_summary const training = train(net, text, settings);
  std::printf("trained %ld steps in %.1f s, %.1f k tokens/s\n", training.steps, training.seconds,
              training.tokens_per_second / 1000);
  print_baselines(text, held_out_bits(net, text, settings));

  generation const generated = generate(net, text, settings);
  std::printf("---- prompt in chunkwise form, then %d bytes by the recurrent step (%.0f a second):\n%s%s\n----\n",
              settings.generate, generated.bytes_per_second, settings.prompt.c_str(), generated.text.c_str());
  std::printf("largest difference between the two forms' logits: %.1e (largest logit %.1f)\n",
              generated.largest_difference, generated.largest_logit);
  return settings.smoke && !smoke_passes(training, generated) ? 1 : 0;
}

}  // namespace
}  // namespace example

int main(int count, char** arguments) {
  return example::exit_code_of("language_model",
                               [&] { return example::run(example::parse_options(count, arguments)); });
}
