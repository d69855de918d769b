// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// progress.hpp, in POSIX terms: isatty decides, a carriage return redraws.
#include "progress.hpp"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>

namespace example {
namespace {

constexpr int kBarWidth = 24;
constexpr double kRedrawSeconds = 0.2;
constexpr double kLogShare = 0.05;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

progress_display::progress_display() : terminal_(isatty(STDOUT_FILENO) != 0) {}

void progress_display::show(double share, std::string const& text) {
  double const position = terminal_ ? now() : share;
  if (last_drawn_ >= 0 && position - last_drawn_ < (terminal_ ? kRedrawSeconds : kLogShare)) {
    return;
  }
  last_drawn_ = position;
  draw(share, text);
}

void progress_display::finish(double share, std::string const& text) {
  if (last_text_ != text) {
    draw(share, text);
  }
  if (terminal_) {
    std::printf("\n");
  }
}

void progress_display::draw(double share, std::string const& text) {
  last_text_ = text;
  if (terminal_) {
    long const filled = std::lround(share * kBarWidth);
    std::string const bar = std::string(static_cast<std::size_t>(filled), '#') +
                            std::string(static_cast<std::size_t>(kBarWidth - filled), '.');
    std::printf("\r[%s] %3.0f %%  %s \033[K", bar.c_str(), 100 * share, text.c_str());
  } else {
    std::printf("%3.0f %%  %s\n", 100 * share, text.c_str());
  }
  std::fflush(stdout);
}

}  // namespace example
