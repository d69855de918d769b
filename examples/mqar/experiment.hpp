// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One run: the two-layer model with one mixer, trained on the task and tested. Which runs there are is not known here.
#pragma once

#include <functional>
#include <string>

#include "support/model.hpp"
#include "support/worker_pool.hpp"
#include "task.hpp"

namespace example {

/// All that a run's result depends on (threads change nothing but its time).
struct run_settings {
  std::string mixer = "rebased";  // one of mixer_names()
  std::string blocks = "ca";      // the first layer a short convolution, the second the mixer
  mqar_settings task;             // but for its data_seed
  int width = 64;
  int heads = 4;
  int batch = 64;
  int steps = 20000;           // at which the learning rate's cosine ends: as in the paper, 64 passes
  int stop_after = 800;        // steps, if that comes first
  int examples = 20000;        // in the training set, which is gone through again and again, each time in another order
  int test_examples = 1000;    // the same for all seeds
  int evaluate_every = 40;     // steps
  double enough = 0.99;        // accuracy at which a run stops
  float deviation = kByWidth;  // of the start values of the mixers' matrices
  float rate = 3e-3F;
  unsigned seed = 1;
};

struct run_result {
  double accuracy = 0;  // share of the test set's queries whose likeliest token is the key's value
  double loss = 0;      // nats a query, over the test set
  int steps = 0;
  double seconds = 0;
  std::size_t parameters = 0;
};

struct run_progress {
  int step;
  double training_loss;  // smoothed
  double accuracy;       // at the last evaluation
  double seconds;        // since the start
};

/// At which a run stops if it does not reach `enough` before.
int last_step(run_settings const& run);

/// Of values, and of softmax attention's queries and keys.
int value_dim_of(run_settings const& run);

model make_model(run_settings const& run);

/// Trains `net`, which is make_model's.
run_result train(model& net, run_settings const& run, worker_pool& pool,
                 std::function<void(run_progress const&)> const& show);

/// Accuracy and loss over the test set, each example in one forward.
run_result test(model const& net, run_settings const& run, worker_pool& pool);

struct step_test {
  double accuracy = 0;          // as above, with the tokens read one at a time through step
  std::size_t state_bytes = 0;  // of one sequence after its last token, over all mixers
};
step_test test_steps(model const& net, run_settings const& run, worker_pool& pool);

}  // namespace example
