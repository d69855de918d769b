// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ReBased without the norm: (gamma x + beta)^2, (gamma x)^2 and x^2, the ablations of the paper.
#include "attention_kernel_families.hpp"
#include "linattn_kernel.hpp"

namespace example {

using plain_map = linattn::rebased<attention_shape::head_dim, linattn::normalize::none>;

std::unique_ptr<attention_kernel> make_rebased_gamma_beta(attention_shape shape) {
  return make_cpu_kernel<plain_map, learns::gamma_and_beta>(shape);
}

std::unique_ptr<attention_kernel> make_rebased_gamma(attention_shape shape) {
  return make_cpu_kernel<plain_map, learns::gamma>(shape);
}

std::unique_ptr<attention_kernel> make_rebased_plain(attention_shape shape) {
  return make_cpu_kernel<plain_map, learns::nothing>(shape);
}

}  // namespace example
