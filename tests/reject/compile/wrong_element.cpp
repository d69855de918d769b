// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The element type is the attention's: no silent conversion of tensors.
// expect: (could not convert|no viable conversion|no known conversion|cannot convert|no matching|no match for)
#include "backend.hpp"

void run(double const* wide, float const* narrow) {
  linattn::attention<linattn::taylor<8>>::forward_args args{};
#ifdef REJECT
  args.q = linattn::view_bthd(wide, 1, 4, 1, 8);
#else
  args.q = linattn::view_bthd(narrow, 1, 4, 1, 8);
#endif
  static_cast<void>(wide);
  static_cast<void>(narrow);
  linattn::forward(idle_executor{}, linattn::attention<linattn::taylor<8>>{}, args);
}
