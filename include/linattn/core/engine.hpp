// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// engine<Executor, Strategy>: the one customisation point. A backend specialises it; the verbs never name a backend.
#ifndef LINATTN_CORE_ENGINE_HPP
#define LINATTN_CORE_ENGINE_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/concepts.hpp>

namespace linattn::inline LINATTN_ABI {

/// Specialisations have static forward, step, backward and workspace_bytes, called with validated arguments.
template <Executor E, ExecutionStrategy S>
struct engine;

namespace detail {
/// True once the header with the engine has been included.
template <class E, class S>
concept HasEngine = requires { sizeof(engine<E, S>); };
}  // namespace detail

}  // namespace linattn::inline LINATTN_ABI

#endif
