// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// sweep.hpp: the loops over sizes, mixers, rates and seeds.
#include "sweep.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "support/progress.hpp"

namespace example {
namespace {

std::string describe(run_settings const& run, run_progress const& progress) {
  std::array<char, 200> text{};
  double const seconds_left = progress.seconds / progress.step * (last_step(run) - progress.step);
  std::snprintf(text.data(), text.size(),
                "%s T %d d %d lr %g seed %u  step %d  loss %.3f  accuracy %.1f %%  %.0f s left", run.mixer.c_str(),
                run.task.time, run.width, static_cast<double>(run.rate), run.seed, progress.step,
                progress.training_loss, 100 * progress.accuracy, seconds_left);
  return text.data();
}

/// Trains and tests, unless the results have the run.
finished_run run_once(run_settings const& run, result_file& results, worker_pool& pool) {
  if (finished_run const* const known = results.find(run)) {
    return *known;
  }
  model net = make_model(run);
  progress_display display;
  std::string last;
  finished_run finished{.settings = run};
  finished.result = train(net, run, pool, [&](run_progress const& progress) {
    last = describe(run, progress);
    display.show(static_cast<double>(progress.step) / last_step(run), last);
  });
  display.finish(static_cast<double>(finished.result.steps) / last_step(run), last);
  finished.steps = test_steps(net, run, pool);
  results.add(finished);
  return finished;
}

bool is_better(run_result const& a, run_result const& b) {
  return a.accuracy != b.accuracy ? a.accuracy > b.accuracy : a.steps < b.steps;
}

void run_mixer(options const& all, run_settings run, result_file& results, worker_pool& pool) {
  run_result best;
  float best_rate = all.rates.front();
  for (float const rate : all.rates) {
    run.rate = rate;
    run_result const result = run_once(run, results, pool).result;
    if (is_better(result, best)) {
      best = result;
      best_rate = rate;
    }
    if (result.accuracy >= run.enough) {
      break;
    }
  }
  run.rate = best_rate;
  for (int seed = 2; seed <= all.seeds; ++seed) {
    run.seed = static_cast<unsigned>(seed);
    run_once(run, results, pool);
  }
}

}  // namespace

void run_sweep(options const& all, result_file& results) {
  worker_pool pool(all.threads);
  for (int const time : all.times) {
    for (int const width : all.widths) {
      for (std::string const& mixer : all.mixers) {
        run_mixer(all, run_of(all, mixer, time, width), results, pool);
      }
    }
  }
}

std::string state_report(std::vector<summary> const& rows) {
  std::string text;
  for (summary const& row : rows) {
    run_settings softmax = row.settings;
    softmax.mixer = "softmax";
    decoder_state const empty = make_model(softmax).make_state(1);
    // A token's keys and values, equally wide, in each attention layer.
    auto const layers = static_cast<std::size_t>(std::count(softmax.blocks.begin(), softmax.blocks.end(), 'a'));
    int const token = 2 * softmax.heads * value_dim_of(softmax);
    std::size_t const cache =
        empty.bytes() + layers * static_cast<std::size_t>(token * softmax.task.time) * sizeof(float);
    std::array<char, 250> line{};
    std::snprintf(line.data(), line.size(),
                  "%s, T %d, d_model %d: %.2f %% through step, %.2f %% in one forward; state %zu bytes, softmax "
                  "attention's KV cache %zu\n",
                  row.settings.mixer.c_str(), row.settings.task.time, row.settings.width, 100 * row.steps_accuracy,
                  100 * row.accuracy.mean, row.state_bytes, cache);
    text += line.data();
  }
  return text;
}

}  // namespace example
