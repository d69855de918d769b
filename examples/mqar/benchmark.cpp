// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// benchmark.hpp: the training loop under a clock; files are written before it starts.
#include "benchmark.hpp"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>

#include "training.hpp"

namespace example {
namespace {

template <class Number>
void write(std::ofstream& file, std::span<Number const> numbers) {
  file.write(reinterpret_cast<char const*>(numbers.data()), static_cast<std::streamsize>(numbers.size_bytes()));
}

void write_files(options const& all, run_settings const& run, model const& net) {
  std::ofstream weights(all.out + ".weights", std::ios::binary);
  write(weights, net.parameters().values());
  std::ofstream examples(all.out + ".examples", std::ios::binary);
  example_dealer dealer(run);
  token_batch example(1, run.task.time);
  for (int i = 0; i < all.benchmark * run.batch; ++i) {
    dealer.deal(example.tokens, example.targets);
    write(examples, std::span<int const>(example.tokens));
    write(examples, std::span<int const>(example.targets));
  }
  weights.flush();
  examples.flush();
  if (!weights || !examples) {
    throw std::runtime_error("cannot write " + all.out + ".weights and " + all.out +
                             ".examples; accepted: a --out in a folder that can be written to");
  }
}

}  // namespace

void run_benchmark(options const& all) {
  run_settings const run = run_of(all, all.mixers.front(), all.times.front(), all.widths.front());
  model net = make_model(run);
  write_files(all, run, net);
  worker_pool pool(all.threads);
  trainer training(net, run, pool);
  std::printf("step,loss,seconds,cpu_seconds\n");
  for (int step = 1; step <= all.benchmark; ++step) {
    std::clock_t const cpu_start = std::clock();  // of all threads
    auto const start = std::chrono::steady_clock::now();
    double const loss = training.step();
    std::chrono::duration<double> const taken = std::chrono::steady_clock::now() - start;
    double const cpu_seconds = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
    std::printf("%d,%.9g,%.6f,%.6f\n", step, loss, taken.count(), cpu_seconds);
  }
}

}  // namespace example
