// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Based's second-order Taylor map, and the plain square of power attention.
#include "attention_kernel_families.hpp"
#include "linattn_kernel.hpp"

namespace example {

std::unique_ptr<attention_kernel> make_based(attention_shape shape) {
  return make_cpu_kernel<linattn::taylor<attention_shape::head_dim>, learns::nothing>(shape);
}

std::unique_ptr<attention_kernel> make_power2(attention_shape shape) {
  return make_cpu_kernel<linattn::power<attention_shape::head_dim, 2>, learns::nothing>(shape);
}

}  // namespace example
