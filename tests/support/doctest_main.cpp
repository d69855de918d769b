// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The one translation unit with doctest's implementation and main().
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
