// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The makers behind attention_kernel.cpp's table, one a map. Private to examples/support.
#pragma once

#include "attention_kernel.hpp"

namespace example {

std::unique_ptr<attention_kernel> make_rebased(attention_shape shape);
std::unique_ptr<attention_kernel> make_rebased_norm(attention_shape shape);
std::unique_ptr<attention_kernel> make_rebased_gamma_beta(attention_shape shape);
std::unique_ptr<attention_kernel> make_rebased_gamma(attention_shape shape);
std::unique_ptr<attention_kernel> make_rebased_plain(attention_shape shape);
std::unique_ptr<attention_kernel> make_based(attention_shape shape);
std::unique_ptr<attention_kernel> make_power2(attention_shape shape);
std::unique_ptr<attention_kernel> make_elu_plus_one(attention_shape shape);
std::unique_ptr<attention_kernel> make_identity(attention_shape shape);
std::unique_ptr<attention_kernel> make_softmax(attention_shape shape);

}  // namespace example
