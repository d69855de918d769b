// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The version, in the one place that build files read too, and the inline namespace that marks the ABI of the headers.
#ifndef LINATTN_VERSION_HPP
#define LINATTN_VERSION_HPP

#define LINATTN_VERSION_MAJOR 0
#define LINATTN_VERSION_MINOR 1
#define LINATTN_VERSION_PATCH 0

// Part of every mangled name: two versions of linattn can live in one program.
#define LINATTN_ABI v0_1

#endif
