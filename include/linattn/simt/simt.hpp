// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// All that a kernel may use of the device: include this, and no raw CUDA.
#ifndef LINATTN_SIMT_SIMT_HPP
#define LINATTN_SIMT_SIMT_HPP

#include <linattn/simt/config.hpp>
#include <linattn/simt/primitives_emulated.hpp>
#include <linattn/simt/primitives_ptx.hpp>
#include <linattn/simt/reduce.hpp>
#include <linattn/simt/types.hpp>

#endif
