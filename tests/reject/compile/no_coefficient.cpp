// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A polynomial that is 0 everywhere is no map.
// expect: linattn::polynomial: a negative coefficient, or none
#include <linattn/feature/polynomial.hpp>

#ifdef REJECT
using map = linattn::polynomial<8, std::ratio<0>, std::ratio<0>, std::ratio<0>>;
#else
using map = linattn::polynomial<8, std::ratio<0>, std::ratio<1>, std::ratio<0>>;
#endif
int features() { return map{}.head_dim; }
