// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What is seen of a training: on a terminal one line that is redrawn, elsewhere a plain line now and then. Writes to
// stdout only; what a line says is the caller's.
#pragma once

#include <string>

namespace example {

class progress_display {
 public:
  progress_display();
  /// `share` of the run, 0..1, is done. Cheap to call each step: draws at most a few times a second (a plain log: some
  /// twenty lines a run).
  void show(double share, std::string const& text);
  /// Draws the last line, and ends it.
  void finish(double share, std::string const& text);

 private:
  void draw(double share, std::string const& text);

  bool terminal_;
  double last_drawn_ = -1;  // seconds on a terminal, share of the run elsewhere
  std::string last_text_;
};

}  // namespace example
