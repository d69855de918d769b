// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A row has at least one coordinate.
// expect: linattn::polynomial: head_dim below 1
#include <linattn/feature/taylor.hpp>

#ifdef REJECT
int features() { return linattn::taylor<0>{}.feature_dim; }
#else
int features() { return linattn::taylor<1>{}.feature_dim; }
#endif
