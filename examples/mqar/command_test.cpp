// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command's parts that train nothing: options and what they refuse, the result file, the summary, the figures.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

#include "figure.hpp"
#include "options.hpp"
#include "results.hpp"

namespace {

using namespace example;

options parse(std::initializer_list<char const*> arguments) {
  std::vector<char const*> all{"mqar"};
  all.insert(all.end(), arguments);
  return parse_options(static_cast<int>(all.size()), all.data());
}

finished_run make_run(std::string const& mixer, int width, float rate, unsigned seed, double accuracy) {
  finished_run run;
  run.settings.mixer = mixer;
  run.settings.width = width;
  run.settings.rate = rate;
  run.settings.seed = seed;
  run.result.accuracy = accuracy;
  run.result.steps = 10;
  return run;
}

TEST_CASE("options after a preset change it") {
  options const all = parse({"--preset", "paper", "--T", "512,128", "--lr", "1e-3"});
  CHECK(all.times == std::vector<int>{512, 128});
  CHECK(all.rates == std::vector<float>{1e-3F});
  CHECK(all.vocabulary == 8192);
  CHECK(run_of(all, "based", 512, 64).task.pairs == 128);
  CHECK(run_of(all, "based", 128, 64).task.pairs == 16);
  CHECK(parse({"--preset", "laptop"}).mixers.size() == 10);
}

TEST_CASE("what is not accepted is refused with what is") {
  CHECK_THROWS_WITH_AS(parse({"--mixer", "rebased,none"}), doctest::Contains("accepted: all, or of rebased|"),
                       usage_error);
  CHECK_THROWS_WITH_AS(parse({"--lr", "1e-3,"}), doctest::Contains("accepted: 1e-6..1, commas between"), usage_error);
  CHECK_THROWS_WITH_AS(parse({"--T", "64", "--K", "17"}), doctest::Contains("1..T/4"), usage_error);
  CHECK_THROWS_WITH_AS(parse({"--speed"}), doctest::Contains("unknown option --speed; accepted are --preset"),
                       usage_error);
  CHECK_THROWS_WITH_AS(parse({"--seeds"}), doctest::Contains("has no value; accepted: 1..1000"), usage_error);
  CHECK_THROWS_WITH_AS(parse({"--preset", "desk"}), doctest::Contains("accepted: laptop|paper"), usage_error);
}

TEST_CASE("finished runs are found again in the file") {
  std::string const base = "mqar_command_test";
  std::remove((base + ".csv").c_str());
  finished_run const run = make_run("rebased", 64, 3e-3F, 7, 1.0 / 3);
  {
    result_file file(base);
    CHECK(file.find(run.settings) == nullptr);
    file.add(run);
    file.add(make_run("based", 64, 1e-2F, 1, 0.25));
    file.write_json();
  }
  result_file const again(base);
  REQUIRE(again.find(run.settings) != nullptr);
  CHECK(again.find(run.settings)->result.accuracy == 1.0 / 3);
  run_settings other = run.settings;
  other.task.pairs += 1;
  CHECK(again.find(other) == nullptr);
  other = run.settings;
  other.seed += 1;
  CHECK(again.find(other) == nullptr);
  std::ofstream(base + ".csv", std::ios::app) << "rebased,ca,64\n";
  CHECK_THROWS_WITH(result_file{base}, doctest::Contains("line 4, is not from this command"));
  std::remove((base + ".csv").c_str());
  std::remove((base + ".json").c_str());
}

TEST_CASE("a summary has the mean and the deviation of the rate that more seeds have, or that is better") {
  auto const rows = summarise({make_run("rebased", 64, 3e-3F, 1, 0.8), make_run("rebased", 64, 1e-2F, 1, 0.9),
                               make_run("rebased", 64, 1e-2F, 2, 0.7), make_run("based", 64, 1e-3F, 1, 0.2),
                               make_run("based", 64, 3e-3F, 1, 0.1)});
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].settings.rate == 1e-2F);
  CHECK(rows[0].accuracy.mean == doctest::Approx(0.8));
  CHECK(rows[0].accuracy.deviation == doctest::Approx(0.1 * std::sqrt(2.0)));
  CHECK(rows[0].steps.mean == 10);
  CHECK(steps_text(rows[0]) == "10 +- 0 steps");
  CHECK(rows[1].settings.rate == 1e-3F);
  CHECK(rows[1].seeds == 1);
}

TEST_CASE("figures: lines where there are several dimensions, bars where there is one") {
  std::vector<finished_run> runs{make_run("rebased", 64, 3e-3F, 1, 0.8), make_run("softmax", 64, 3e-3F, 1, 1)};
  CHECK(accuracy_figure(summarise(runs)).find("<polyline") == std::string::npos);
  CHECK(accuracy_figure(summarise(runs)).find("80.0 %, 1 seed") != std::string::npos);
  runs.push_back(make_run("rebased", 128, 3e-3F, 1, 0.9));
  std::string const lines = accuracy_figure(summarise(runs));
  CHECK(lines.find("<polyline class=\"line c0\"") != std::string::npos);
  CHECK(lines.find("prefers-color-scheme: dark") != std::string::npos);
  CHECK(ablation_figure(summarise(runs)).find("softmax") == std::string::npos);
}

}  // namespace
