// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// workspace_bytes: how much working memory a call takes, for callers who supply it.
#ifndef LINATTN_WORKSPACE_HPP
#define LINATTN_WORKSPACE_HPP

#include <linattn/attention.hpp>
#include <linattn/core/engine.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI {

/// Bytes of workspace that suffice for the verb whose arguments these are (forward_args, backward_args or step_args), on
/// this executor. A pure function of the shapes, the variant and the executor's settings, on CUDA also of the architecture
/// that the current device's kernels were compiled for; nothing is read or written through the views but cu_seqlens. The
/// arguments must be valid ones.
template <Executor Exec, class Map, class S, class N, class E, class Args>
[[nodiscard]] std::size_t workspace_bytes(Exec const& exec, attention<Map, S, N, E> const& attn,
                                          Args const& args) noexcept {
  static_assert(detail::HasEngine<Exec, S>,
                "linattn::workspace_bytes: no engine for this executor and strategy; those whose header is included "
                "are accepted; include <linattn/linattn.hpp> for the CPU");
  return engine<Exec, S>::workspace_bytes(exec, attn, args);
}

}  // namespace linattn::inline LINATTN_ABI

#endif
