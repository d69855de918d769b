// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// results.hpp: one table of columns, from which the CSV and the JSON are written and the CSV is read.
#include "results.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>

namespace example {
namespace {

struct column {
  std::string_view name;
  bool quoted;  // in JSON
  std::function<std::string(finished_run const&)> write;
  std::function<bool(finished_run&, std::string_view)> read;
};

template <class Number>
std::string shortest(Number value) {  // that reads back as the same number
  std::array<char, 32> text{};
  auto const [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), error == std::errc{} ? end : text.data()};
}

template <class Get>
column number_column(std::string_view name, Get get) {
  return {name, false, [get](finished_run const& run) { return shortest(get(run)); },
          [get](finished_run& run, std::string_view text) {
            auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), get(run));
            return error == std::errc{} && end == text.data() + text.size();
          }};
}

template <class Get>
column text_column(std::string_view name, Get get) {
  return {name, true, [get](finished_run const& run) { return get(run); },
          [get](finished_run& run, std::string_view text) {
            get(run) = text;
            return !text.empty();
          }};
}

std::vector<column> const& columns() {
  static std::vector<column> const all = {
      text_column(
          "mixer", [](auto& run) -> auto& { return run.settings.mixer; }),
      text_column(
          "blocks", [](auto& run) -> auto& { return run.settings.blocks; }),
      number_column(
          "T", [](auto& run) -> auto& { return run.settings.task.time; }),
      number_column(
          "K", [](auto& run) -> auto& { return run.settings.task.pairs; }),
      number_column(
          "N", [](auto& run) -> auto& { return run.settings.task.vocabulary; }),
      number_column(
          "d_model", [](auto& run) -> auto& { return run.settings.width; }),
      number_column(
          "heads", [](auto& run) -> auto& { return run.settings.heads; }),
      number_column(
          "batch", [](auto& run) -> auto& { return run.settings.batch; }),
      number_column(
          "steps", [](auto& run) -> auto& { return run.settings.steps; }),
      number_column(
          "stop_after", [](auto& run) -> auto& { return run.settings.stop_after; }),
      number_column(
          "examples", [](auto& run) -> auto& { return run.settings.examples; }),
      number_column(
          "test_examples", [](auto& run) -> auto& { return run.settings.test_examples; }),
      number_column(
          "deviation", [](auto& run) -> auto& { return run.settings.deviation; }),
      number_column(
          "lr", [](auto& run) -> auto& { return run.settings.rate; }),
      number_column(
          "seed", [](auto& run) -> auto& { return run.settings.seed; }),
      number_column(
          "accuracy", [](auto& run) -> auto& { return run.result.accuracy; }),
      number_column(
          "loss", [](auto& run) -> auto& { return run.result.loss; }),
      number_column(
          "steps_done", [](auto& run) -> auto& { return run.result.steps; }),
      number_column(
          "seconds", [](auto& run) -> auto& { return run.result.seconds; }),
      number_column(
          "parameters", [](auto& run) -> auto& { return run.result.parameters; }),
      number_column(
          "step_accuracy", [](auto& run) -> auto& { return run.steps.accuracy; }),
      number_column(
          "state_bytes", [](auto& run) -> auto& { return run.steps.state_bytes; }),
  };
  return all;
}

std::string csv_header() {
  std::string line;
  for (column const& each : columns()) {
    line.append(line.empty() ? "" : ",").append(each.name);
  }
  return line;
}

std::string csv_line(finished_run const& run) {
  std::string line;
  for (column const& each : columns()) {
    line.append(line.empty() ? "" : ",").append(each.write(run));
  }
  return line;
}

bool read_line(std::string_view line, finished_run& run) {
  for (column const& each : columns()) {
    std::size_t const comma = line.find(',');
    bool const is_last = &each == &columns().back();
    if ((comma == std::string_view::npos) != is_last || !each.read(run, line.substr(0, comma))) {
      return false;
    }
    line.remove_prefix(is_last ? line.size() : comma + 1);
  }
  return true;
}

spread spread_of(std::vector<double> const& values) {
  spread all;
  auto const count = static_cast<double>(values.size());
  for (double const each : values) {
    all.mean += each / count;
  }
  for (double const each : values) {
    all.deviation += (each - all.mean) * (each - all.mean) / std::max(1.0, count - 1);
  }
  all.deviation = std::sqrt(all.deviation);
  return all;
}

}  // namespace

bool same_run(run_settings const& a, run_settings const& b, bool any_rate) {
  auto const key = [any_rate](run_settings const& run) {
    return std::tuple(run.mixer, run.blocks, run.task.time, run.task.pairs, run.task.vocabulary, run.width, run.heads,
                      run.batch, run.steps, run.stop_after, run.examples, run.test_examples, run.deviation,
                      any_rate ? 0.0F : run.rate, any_rate ? 0U : run.seed);
  };
  return key(a) == key(b);
}

result_file::result_file(std::string base) : base_(std::move(base)) {
  std::ifstream file(path(".csv"));
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    finished_run run;
    if (number == 1 ? line != csv_header() : !read_line(line, run)) {
      throw std::runtime_error(path(".csv") + ", line " + std::to_string(number) +
                               ", is not from this command; accepted: a file with the columns " + csv_header() +
                               ", or none");
    }
    if (number > 1) {
      runs_.push_back(run);
    }
  }
}

finished_run const* result_file::find(run_settings const& run) const {
  auto const found =
      std::find_if(runs_.begin(), runs_.end(), [&](finished_run const& each) { return same_run(each.settings, run); });
  return found == runs_.end() ? nullptr : &*found;
}

void result_file::add(finished_run const& run) {
  bool const is_new = !std::filesystem::exists(path(".csv"));
  std::ofstream file(path(".csv"), std::ios::app);
  file << (is_new ? csv_header() + "\n" : "") << csv_line(run) << std::endl;
  if (!file) {
    throw std::runtime_error("cannot write " + path(".csv") + "; accepted: a --out in a folder that can be written to");
  }
  runs_.push_back(run);
}

void result_file::write_json() const {
  std::ofstream file(path(".json"));
  file << "[";
  char const* separator = "\n";
  for (finished_run const& run : runs_) {
    file << separator << "  {";
    for (column const& each : columns()) {
      std::string const quote = each.quoted ? "\"" : "";
      file << (&each == &columns().front() ? "" : ", ") << '"' << each.name << "\": " << quote << each.write(run)
           << quote;
    }
    file << "}";
    separator = ",\n";
  }
  file << "\n]\n";
}

std::vector<summary> summarise(std::vector<finished_run> const& runs) {
  std::vector<summary> best;
  for (finished_run const& run : runs) {
    summary rate{.settings = run.settings};
    std::vector<double> accuracies;
    std::vector<double> steps;
    for (finished_run const& other : runs) {
      if (same_run(other.settings, run.settings, /*any_rate=*/true) && other.settings.rate == run.settings.rate) {
        accuracies.push_back(other.result.accuracy);
        steps.push_back(other.result.steps);
        rate.steps_accuracy += other.steps.accuracy;
        rate.state_bytes = other.steps.state_bytes;
      }
    }
    rate.seeds = static_cast<int>(accuracies.size());
    rate.accuracy = spread_of(accuracies);
    rate.steps = spread_of(steps);
    rate.steps_accuracy /= rate.seeds;
    auto const known = std::find_if(best.begin(), best.end(), [&](summary const& each) {
      return same_run(each.settings, run.settings, /*any_rate=*/true);
    });
    // A rate with more seeds is one that was chosen; its mean may well be below a lucky first seed of another.
    if (known == best.end()) {
      best.push_back(rate);
    } else if (std::pair(rate.seeds, rate.accuracy.mean) > std::pair(known->seeds, known->accuracy.mean)) {
      *known = rate;
    }
  }
  return best;
}

std::string accuracy_text(summary const& row) {
  std::array<char, 64> text{};
  if (row.seeds == 1) {
    std::snprintf(text.data(), text.size(), "%.1f %%, 1 seed", 100 * row.accuracy.mean);
  } else {
    std::snprintf(text.data(), text.size(), "%.1f +- %.1f %%", 100 * row.accuracy.mean, 100 * row.accuracy.deviation);
  }
  return text.data();
}

std::string steps_text(summary const& row) {
  std::array<char, 64> text{};
  if (row.seeds == 1) {
    std::snprintf(text.data(), text.size(), "%.0f steps", row.steps.mean);
  } else {
    std::snprintf(text.data(), text.size(), "%.0f +- %.0f steps", row.steps.mean, row.steps.deviation);
  }
  return text.data();
}

std::string summary_table(std::vector<summary> const& rows) {
  std::string text =
      "mixer               T     K     N  d_model  heads  lr      seeds  accuracy        until             by steps   "
      "state "
      "bytes\n";
  for (summary const& row : rows) {
    std::array<char, 200> line{};
    run_settings const& run = row.settings;
    std::snprintf(line.data(), line.size(), "%-18s %4d %5d %5d  %7d  %5d  %-7g %5d  %-14s %-17s %6.1f %%  %12zu\n",
                  run.mixer.c_str(), run.task.time, run.task.pairs, run.task.vocabulary, run.width, run.heads,
                  static_cast<double>(run.rate), row.seeds, accuracy_text(row).c_str(), steps_text(row).c_str(),
                  100 * row.steps_accuracy, row.state_bytes);
    text += line.data();
  }
  return text;
}

}  // namespace example
