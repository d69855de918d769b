// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A normalizer in the strategy's place is told from a strategy by name.
// expect: ExecutionStrategy
#include <linattn/attention.hpp>
#include <linattn/feature/taylor.hpp>

#ifdef REJECT
linattn::attention<linattn::taylor<8>, linattn::sum_normalizer> const attn{};
#else
linattn::attention<linattn::taylor<8>, linattn::chunkwise<>, linattn::sum_normalizer> const attn{};
#endif
