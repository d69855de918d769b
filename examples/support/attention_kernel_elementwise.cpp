// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The elementwise maps. identity's weights <q, k> have any sign and may sum to 0, so its sum is not divided by them.
#include "attention_kernel_families.hpp"
#include "linattn_kernel.hpp"

namespace example {

std::unique_ptr<attention_kernel> make_elu_plus_one(attention_shape shape) {
  return make_cpu_kernel<linattn::elu_plus_one<attention_shape::head_dim>, learns::nothing>(shape);
}

std::unique_ptr<attention_kernel> make_identity(attention_shape shape) {
  return make_cpu_kernel<linattn::identity<attention_shape::head_dim>, learns::nothing, linattn::unnormalized>(shape);
}

}  // namespace example
