// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The same training on a CUDA stream: 05_backend.hpp is all that differs. Exits with 77 where there is no GPU.
#include "05_train_rebased.cpp"
