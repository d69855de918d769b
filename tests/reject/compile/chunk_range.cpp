// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A chunk length has a range.
// expect: linattn::chunkwise: a chunk length out of range
#include <linattn/strategy/chunkwise.hpp>

#ifdef REJECT
int chunk() { return linattn::chunkwise<4096>::chunk; }
#else
int chunk() { return linattn::chunkwise<1024>::chunk; }
#endif
