// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// progress.hpp, in POSIX terms: isatty decides, a carriage return redraws.
#include "progress.hpp"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>

namespace example {
namespace {

constexpr int kBarWidth = 24;
constexpr double kRedrawSeconds = 0.2;
constexpr double kLogShare = 0.05;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

progress_display::progress_display() : terminal_(isatty(STDOUT_FILENO) != 0) {}

void progress_display::show(progress_report const& report) {
  double const position = terminal_ ? now() : report.share;
  if (last_drawn_ >= 0 && position - last_drawn_ < (terminal_ ? kRedrawSeconds : kLogShare)) {
    return;
  }
  last_drawn_ = position;
  draw(report);
}

void progress_display::finish(progress_report const& report) {
  if (last_step_ != report.step) {
    draw(report);
  }
  if (terminal_) {
    std::printf("\n");
  }
}

void progress_display::draw(progress_report const& report) {
  last_step_ = report.step;
  double const bits = report.loss / std::numbers::ln2;
  if (terminal_) {
    long const filled = std::lround(report.share * kBarWidth);
    std::string const bar = std::string(static_cast<std::size_t>(filled), '#') +
                            std::string(static_cast<std::size_t>(kBarWidth - filled), '.');
    std::printf("\r[%s] %3.0f %%  step %ld  loss %.3f  %.3f bits a byte  %.1f k tokens/s  %.0f s left \033[K",
                bar.c_str(), 100 * report.share, report.step, report.loss, bits, report.tokens_per_second / 1000,
                report.seconds_left);
  } else {
    std::printf("%3.0f %%  step %ld  loss %.3f  %.3f bits a byte  %.1f k tokens/s  %.0f s left\n", 100 * report.share,
                report.step, report.loss, bits, report.tokens_per_second / 1000, report.seconds_left);
  }
  std::fflush(stdout);
}

}  // namespace example
