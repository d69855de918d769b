// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The claim, at a size of half a minute: ReBased learns to recall where Based, at its best learning rate and with the
// same number of steps, is behind.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>

#include "experiment.hpp"

namespace {

using namespace example;

run_result learn(run_settings const& run, worker_pool& pool, step_test* steps = nullptr) {
  model net = make_model(run);
  run_result const result = train(net, run, pool, [](run_progress const&) {});
  std::printf("%s at %g: %.2f %% after %d steps, %.1f s\n", run.mixer.c_str(), static_cast<double>(run.rate),
              100 * result.accuracy, result.steps, result.seconds);
  if (steps != nullptr) {
    *steps = test_steps(net, run, pool);
  }
  return result;
}

TEST_CASE("ReBased answers 99 % of the queries, also through step; Based is behind after as many steps") {
  worker_pool pool(2);
  run_settings run;
  step_test steps;
  run_result const rebased = learn(run, pool, &steps);
  CHECK(rebased.accuracy >= 0.99);
  CHECK(steps.accuracy == doctest::Approx(rebased.accuracy).epsilon(0.002));  // rounding may turn a close decision

  run.mixer = "based";
  run.stop_after = rebased.steps;
  double best = 0;
  for (float const rate : {1e-3F, 3e-3F, 1e-2F}) {
    run.rate = rate;
    best = std::max(best, learn(run, pool).accuracy);
  }
  CHECK(best < rebased.accuracy - 0.02);
}

}  // namespace
