// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What is seen of the training: on a terminal one line that is redrawn, elsewhere a plain line now and then. Writes to
// stdout only.
#pragma once

#include <string>

namespace example {

struct progress_report {
  double share;  // of the run that is done, 0..1
  long step;
  double loss;  // nats a byte, smoothed
  double tokens_per_second;
  double seconds_left;
};

class progress_display {
 public:
  progress_display();
  /// Cheap to call each step: draws at most a few times a second (a plain log: some twenty lines a run).
  void show(progress_report const& report);
  void finish(progress_report const& report);

 private:
  void draw(progress_report const& report);

  bool terminal_;
  double last_drawn_ = -1;  // seconds on a terminal, share of the run elsewhere
  long last_step_ = -1;
};

}  // namespace example
