// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Hooks are required: a misspelt one is an error, not a silent default.
// expect: FeatureMap
#include <linattn/attention.hpp>
#include <linattn/feature/elementwise.hpp>

template <int HeadDim>
struct own : linattn::elementwise_map<HeadDim> {
#ifdef REJECT
  void prepear(float*, linattn::role, int) const {}
#else
  void prepare(float*, linattn::role, int) const {}
#endif
};
linattn::attention<own<8>> const attn{};
