// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Based's map: the second-order Taylor polynomial of exp(q.k / sqrt(d)).
#ifndef LINATTN_FEATURE_TAYLOR_HPP
#define LINATTN_FEATURE_TAYLOR_HPP

#include <linattn/feature/polynomial.hpp>

namespace linattn::inline LINATTN_ABI {

/// score(s) = 1 + s + s^2 / 2, s = q.k / sqrt(head_dim): 1 + d + d (d + 1) / 2 packed features (153 at d = 16).
/// Source: Based, arXiv:2402.18668 and arXiv:2312.04927.
template <int HeadDim>
using taylor = polynomial<HeadDim, std::ratio<1>, std::ratio<1>, std::ratio<1, 2>>;

}  // namespace linattn::inline LINATTN_ABI

#endif
