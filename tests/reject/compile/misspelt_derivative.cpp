// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A misspelt derivative makes the map forward-only, and backward says so.
// expect: linattn::backward: the feature map is forward-only
#include "backend.hpp"

template <int HeadDim>
struct own : linattn::elementwise_map<HeadDim> {
  void prepare(float*, linattn::role, int) const {}
#ifdef REJECT
  void prepare_backwards(float const*, float*, linattn::role, int, float*) const {}
#else
  void prepare_backward(float const*, float*, linattn::role, int, float*) const {}
#endif
};

void run() { linattn::backward(idle_executor{}, linattn::attention<own<8>>{}, {}); }
