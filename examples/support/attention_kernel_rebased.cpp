// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ReBased: (gamma LN(x) + beta)^2 of the paper, and its norm without parameters.
#include "attention_kernel_families.hpp"
#include "linattn_kernel.hpp"

namespace example {

using rebased_map = linattn::rebased<attention_shape::head_dim>;

std::unique_ptr<attention_kernel> make_rebased(attention_shape shape) {
  return make_cpu_kernel<rebased_map, learns::gamma_and_beta>(shape);
}

std::unique_ptr<attention_kernel> make_rebased_norm(attention_shape shape) {
  return make_cpu_kernel<rebased_map, learns::nothing>(shape);
}

}  // namespace example
