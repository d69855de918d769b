// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A hook that returns another type than the law's is no hook.
// expect: FeatureMap
#include <linattn/attention.hpp>
#include <linattn/feature/elementwise.hpp>

template <int HeadDim>
struct own : linattn::elementwise_map<HeadDim> {
  void prepare(float*, linattn::role, int) const {}
#ifdef REJECT
  double score(float s) const { return static_cast<double>(s); }
#else
  float score(float s) const { return s; }
#endif
};
linattn::attention<own<8>> const attn{};
