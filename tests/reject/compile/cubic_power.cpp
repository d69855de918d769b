// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packed features serve degrees 1 and 2.
// expect: linattn::power: a degree other than 1 and 2
#include <linattn/feature/power.hpp>

#ifdef REJECT
using map = linattn::power<8, 3>;
#else
using map = linattn::power<8, 2>;
#endif
int features() { return map::feature_dim; }
