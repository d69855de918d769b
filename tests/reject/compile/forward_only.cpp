// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A map without derivatives goes forward and not backward.
// expect: linattn::backward: the feature map is forward-only
#include "backend.hpp"

template <int HeadDim>
struct absolute : linattn::elementwise_map<HeadDim> {
  void prepare(float* x, linattn::role, int) const {
    for (int i = 0; i < HeadDim; ++i) {
      x[i] = x[i] < 0 ? -x[i] : x[i];
    }
  }
#ifndef REJECT
  void prepare_backward(float const* x, float* grad, linattn::role, int, float*) const {
    for (int i = 0; i < HeadDim; ++i) {
      grad[i] = x[i] < 0 ? -grad[i] : grad[i];
    }
  }
#endif
};
static_assert(linattn::FeatureMap<absolute<8>>);

void run() {
  linattn::attention<absolute<8>> const attn{};
  linattn::forward(idle_executor{}, attn, {});
  linattn::backward(idle_executor{}, attn, {});
}
