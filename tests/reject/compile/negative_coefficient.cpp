// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A negative coefficient has no real features.
// expect: linattn::polynomial: a negative coefficient
#include <linattn/feature/polynomial.hpp>

#ifdef REJECT
using map = linattn::polynomial<8, std::ratio<1>, std::ratio<-1>, std::ratio<1, 2>>;
#else
using map = linattn::polynomial<8, std::ratio<1>, std::ratio<0>, std::ratio<1, 2>>;
#endif
int features() { return map::feature_dim; }
