// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Multi-query associative recall: trains small models whose second layer is linear attention or one of its rivals, and
// reports how many queries each answers. The order of the parts; each part has its own file.
#include <cstdio>
#include <fstream>
#include <utility>

#include "benchmark.hpp"
#include "figure.hpp"
#include "options.hpp"
#include "results.hpp"
#include "sweep.hpp"

namespace example {
namespace {

int run(options const& all) {
  if (all.help) {
    std::printf("%s", usage().c_str());
    return 0;
  }
  if (all.benchmark > 0) {
    run_benchmark(all);
    return 0;
  }
  result_file results(all.out);
  if (!all.report) {
    run_sweep(all, results);
    results.write_json();
  }
  std::vector<summary> const rows = summarise(results.runs());
  if (rows.empty()) {
    throw usage_error("--report: " + results.path(".csv") + " has no runs; accepted: a file that mqar has written");
  }
  std::printf("\n%s\n%s", summary_table(rows).c_str(), state_report(rows).c_str());
  if (all.figure) {
    for (auto const& [ending, svg] :
         {std::pair{"_accuracy.svg", accuracy_figure(rows)}, {"_ablation.svg", ablation_figure(rows)}}) {
      std::ofstream(results.path(ending)) << svg;
      std::printf("wrote %s\n", results.path(ending).c_str());
    }
  }
  return 0;
}

}  // namespace
}  // namespace example

int main(int count, char** arguments) {
  return example::exit_code_of("mqar", [&] { return example::run(example::parse_options(count, arguments)); });
}
