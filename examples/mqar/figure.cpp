// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// figure.hpp: panels beside each other; colours by class, so that one style sheet serves light and dark.
#include "figure.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <set>
#include <string_view>

#include "support/model.hpp"

namespace example {
namespace {

constexpr double kPlotWidth = 250, kPlotHeight = 230, kLeft = 52, kTop = 50, kGap = 60, kBottom = 44;
constexpr double kBarRow = 26, kBarLabel = 170, kBarLength = 200, kBarEnd = 140;
constexpr double kLegend = 180;  // a name of it
constexpr double kStepsLeft = kBarLabel + kBarLength + kBarEnd;

// Hues that keep a contrast of 3 with white and with the dark ground; linear attentions in solid lines, rivals dashed.
constexpr std::string_view kStyle = R"(<style>
svg { font: 13px system-ui, sans-serif; background: #ffffff; }
text { fill: #1f2328; } .dim { fill: #59636e; }
.grid { stroke: #d1d9e0; }
.spread { stroke: #1f2328; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #f0f6fc; } .dim { fill: #9198a1; }
  .grid { stroke: #3d444d; } .spread { stroke: #f0f6fc; }
}
.line { fill: none; stroke-width: 2; } .rival { stroke-dasharray: 5 3; }
)";
constexpr std::array<std::string_view, 12> kColours = {"#d1495b", "#e07a1f", "#b8860b", "#8f8f1f",
                                                       "#9c6644", "#2f81d0", "#1a9a8a", "#3a9a3a",
                                                       "#6f7fd0", "#a05fc0", "#c0569a", "#7a8590"};

[[gnu::format(printf, 2, 3)]] void append(std::string& text, char const* format, ...) {
  std::array<char, 600> part{};
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(part.data(), part.size(), format, arguments);
  va_end(arguments);
  text += part.data();
}

/// A mixer has its colour whatever else is drawn.
std::size_t colour_of(std::string const& mixer) {
  auto const names = mixer_names();
  auto const index = static_cast<std::size_t>(std::find(names.begin(), names.end(), mixer) - names.begin());
  return index % kColours.size();
}

bool is_rival(std::string const& mixer) { return mixer == "softmax" || mixer == "mamba" || mixer == "rwkv"; }

std::string open_svg(double width, double height, std::string_view title) {
  std::string svg;
  append(svg,
         "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
         "role=\"img\">\n",
         width, height, width, height);
  svg.append("<title>").append(title).append("</title>\n").append(kStyle);
  for (std::size_t i = 0; i < kColours.size(); ++i) {
    append(svg, ".c%zu { stroke: %s; } .f%zu { fill: %s; }\n", i, kColours[i].data(), i, kColours[i].data());
  }
  return svg + "</style>\n";
}

void draw_text(std::string& svg, double x, double y, std::string_view anchor, std::string const& text,
               std::string_view css = "") {
  std::string const plus_minus = "+-";
  std::string shown = text;
  if (auto const at = shown.find(plus_minus); at != std::string::npos) {
    shown.replace(at, plus_minus.size(), "&#177;");
  }
  append(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y,
         std::string(anchor).c_str(), std::string(css).c_str(), shown.c_str());
}

void draw_line(std::string& svg, std::string_view css, double x1, double y1, double x2, double y2) {
  append(svg, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", std::string(css).c_str(), x1,
         y1, x2, y2);
}

/// A quantity of each row as horizontal bars, with its spread and in words.
struct bar_panel {
  std::string title;
  double left, length;
  spread (*value)(summary const&);
  std::string (*words)(summary const&);
  double most;  // at the axis' end
  std::string unit;
};

void draw_bars(std::string& svg, std::vector<summary> const& rows, bar_panel const& panel, double bottom) {
  auto const x_of = [&](double value) { return panel.left + panel.length * std::clamp(value / panel.most, 0.0, 1.0); };
  draw_text(svg, panel.left, kTop - 8, "start", panel.title, "dim");
  for (int quarter = 0; quarter <= 4; ++quarter) {
    double const value = panel.most * quarter / 4;
    draw_line(svg, "grid", x_of(value), kTop, x_of(value), bottom);
    draw_text(svg, x_of(value), bottom + 17, "middle", std::to_string(std::lround(value)) + panel.unit, "dim");
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    spread const value = panel.value(rows[i]);
    double const y = kTop + kBarRow * static_cast<double>(i);
    double const middle = y + kBarRow / 2;
    append(svg, "<rect class=\"f%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
           colour_of(rows[i].settings.mixer), panel.left, y + 5, std::max(1.0, x_of(value.mean) - panel.left),
           kBarRow - 10);
    draw_line(svg, "spread", x_of(value.mean - value.deviation), middle, x_of(value.mean + value.deviation), middle);
    draw_text(svg, panel.left + panel.length + 8, middle + 4, "start", panel.words(rows[i]));
  }
}

/// A row each: how many queries are answered, and after how many steps.
std::string bar_figure(std::vector<summary> const& rows, std::string const& title) {
  double const bottom = kTop + kBarRow * static_cast<double>(rows.size());
  std::string svg = open_svg(kStepsLeft + kBarLength + kBarEnd, bottom + kBottom, title);
  draw_text(svg, 12, 21, "start", title);
  double longest = 1;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    draw_text(svg, kBarLabel - 8, kTop + kBarRow * (static_cast<double>(i) + 0.5) + 4, "end", rows[i].settings.mixer);
    longest = std::max(longest, static_cast<double>(last_step(rows[i].settings)));
  }
  auto const percent = [](summary const& row) { return spread{100 * row.accuracy.mean, 100 * row.accuracy.deviation}; };
  draw_bars(svg, rows, {"queries answered", kBarLabel, kBarLength, percent, accuracy_text, 100, " %"}, bottom);
  auto const steps = [](summary const& row) { return row.steps; };
  draw_bars(svg, rows, {"steps to 99 %, or to the end", kStepsLeft, kBarLength, steps, steps_text, longest, ""},
            bottom);
  draw_text(svg, kBarLabel, bottom + kBottom - 8, "start", "thin lines: one deviation over the seeds", "dim");
  return svg + "</svg>\n";
}

/// The place of a model dimension in its panel, on a logarithmic axis.
double place(int width, std::set<int> const& widths) {
  double const least = std::log2(*widths.begin());
  double const most = std::log2(*widths.rbegin());
  return most > least ? (std::log2(width) - least) / (most - least) : 0.5;
}

void draw_panel(std::string& svg, std::vector<summary> const& rows, int time, std::set<int> const& widths, double left,
                std::vector<std::string> const& mixers) {
  auto const x_of = [&](int width) { return left + 14 + (kPlotWidth - 28) * place(width, widths); };
  auto const y_of = [](double accuracy) { return kTop + kPlotHeight * (1 - accuracy); };
  draw_text(svg, left + kPlotWidth / 2, kTop - 12, "middle", "T = " + std::to_string(time));
  for (int percent = 0; percent <= 100; percent += 25) {
    draw_line(svg, "grid", left, y_of(percent / 100.0), left + kPlotWidth, y_of(percent / 100.0));
    draw_text(svg, left - 6, y_of(percent / 100.0) + 4, "end", std::to_string(percent) + " %", "dim");
  }
  for (int const width : widths) {
    draw_text(svg, x_of(width), kTop + kPlotHeight + 17, "middle", std::to_string(width), "dim");
  }
  for (std::string const& mixer : mixers) {
    std::vector<summary> line;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(line),
                 [&](summary const& row) { return row.settings.mixer == mixer && row.settings.task.time == time; });
    std::sort(line.begin(), line.end(),
              [](summary const& a, summary const& b) { return a.settings.width < b.settings.width; });
    std::string points;
    for (summary const& row : line) {
      double const x = x_of(row.settings.width);
      append(points, "%.1f,%.1f ", x, y_of(row.accuracy.mean));
      draw_line(svg, "spread", x, y_of(std::max(0.0, row.accuracy.mean - row.accuracy.deviation)), x,
                y_of(std::min(1.0, row.accuracy.mean + row.accuracy.deviation)));
      append(svg, "<circle class=\"f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", colour_of(mixer), x,
             y_of(row.accuracy.mean));
    }
    append(svg, "<polyline class=\"line c%zu%s\" points=\"", colour_of(mixer), is_rival(mixer) ? " rival" : "");
    svg += points + "\"/>\n";
  }
}

}  // namespace

std::string accuracy_figure(std::vector<summary> const& rows) {
  std::set<int> times;
  std::set<int> widths;
  std::vector<std::string> mixers;
  for (summary const& row : rows) {
    times.insert(row.settings.task.time);
    widths.insert(row.settings.width);
    if (std::find(mixers.begin(), mixers.end(), row.settings.mixer) == mixers.end()) {
      mixers.push_back(row.settings.mixer);
    }
  }
  if (times.size() == 1 && widths.size() == 1) {
    return bar_figure(rows, "Multi-query associative recall, T = " + std::to_string(*times.begin()) +
                                ", d_model = " + std::to_string(*widths.begin()));
  }
  double const panels = kLeft + static_cast<double>(times.size()) * (kPlotWidth + kGap);
  double const rows_of_names = std::ceil(static_cast<double>(mixers.size()) / 5);
  double const height = kTop + kPlotHeight + kBottom + 20 * rows_of_names;
  std::string svg = open_svg(std::max(panels, kLeft + 5 * kLegend), height, "Accuracy against model dimension");
  double left = kLeft;
  for (int const time : times) {
    draw_panel(svg, rows, time, widths, left, mixers);
    left += kPlotWidth + kGap;
  }
  draw_text(svg, kLeft, kTop + kPlotHeight + 36, "start", "model dimension; bars: one deviation over the seeds", "dim");
  for (std::size_t i = 0; i < mixers.size(); ++i) {
    double const x = kLeft + kLegend * static_cast<double>(i % 5);
    double const y = kTop + kPlotHeight + 56 + 20 * static_cast<double>(i / 5);
    append(svg, "<line class=\"line c%zu%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", colour_of(mixers[i]),
           is_rival(mixers[i]) ? " rival" : "", x, y - 4, x + 20, y - 4);
    draw_text(svg, x + 26, y, "start", mixers[i]);
  }
  return svg + "</svg>\n";
}

std::string ablation_figure(std::vector<summary> const& rows) {
  std::vector<summary> parts;
  for (summary const& row : rows) {
    bool const is_part = row.settings.mixer.starts_with("rebased") || row.settings.mixer == "based";
    if (is_part && (parts.empty() || (row.settings.task.time == parts[0].settings.task.time &&
                                      row.settings.width == parts[0].settings.width))) {
      parts.push_back(row);
    }
  }
  std::string const title = parts.empty() ? "No run of ReBased"
                                          : "ReBased's parts, T = " + std::to_string(parts[0].settings.task.time) +
                                                ", d_model = " + std::to_string(parts[0].settings.width);
  return bar_figure(parts, title);
}

}  // namespace example
