// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An output is not made from const memory.
// expect: (could not convert|no viable conversion|no known conversion|cannot convert|no matching|invalid conversion)
#include "backend.hpp"

void run(float const* input, float* output) {
  linattn::attention<linattn::taylor<8>>::forward_args args{};
  args.q = linattn::view_bthd(input, 1, 4, 1, 8);
#ifdef REJECT
  args.out = linattn::view_bthd(input, 1, 4, 1, 8);
#else
  args.out = linattn::view_bthd(output, 1, 4, 1, 8);
#endif
  static_cast<void>(output);
  linattn::forward(idle_executor{}, linattn::attention<linattn::taylor<8>>{}, args);
}
