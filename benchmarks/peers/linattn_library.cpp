// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// linattn's part of the comparison with its peers: one C function that Python can call. setup.sh builds it.

#include "library.hpp"

#include <linattn/linattn.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <vector>

namespace {

using map = linattn::rebased<16>;

template <class Normalizer>
void forward(peers_problem const& p, Normalizer const& normalizer) {
  using attention = linattn::attention<map, linattn::chunkwise<>, Normalizer>;
  constexpr std::size_t d = map::head_dim;
  attention layer;
  layer.map.parameters = {std::span<float const>(p.gamma_q, d), std::span<float const>(p.beta_q, d),
                          std::span<float const>(p.gamma_k, d), std::span<float const>(p.beta_k, d)};
  layer.normalizer = normalizer;
  typename attention::forward_args const args{.q = linattn::view_bhtd(p.q, 1, p.heads, p.time, map::head_dim),
                                              .k = linattn::view_bhtd(p.k, 1, p.heads, p.time, map::head_dim),
                                              .v = linattn::view_bhtd(p.v, 1, p.heads, p.time, p.value_dim),
                                              .out = linattn::view_bhtd(p.out, 1, p.heads, p.time, p.value_dim)};
  static std::vector<std::byte> memory;  // kept, as in a program that calls more than once
  linattn::cpu_executor exec{.threads = p.threads, .tasks = {}, .workspace = {}};
  std::size_t const bytes = linattn::workspace_bytes(exec, layer, args);
  if (memory.size() < bytes) {
    memory.resize(bytes);
  }
  exec.workspace = std::span<std::byte>(memory);
  linattn::forward(exec, layer, args);
}

}  // namespace

/// Returns 0, or 1 after a message. Not for several threads at once.
extern "C" int peers_linattn_forward(peers_problem const* p) {
  try {
    if (p->normalized != 0) {
      forward(*p, linattn::sum_normalizer{p->eps});
    } else {
      forward(*p, linattn::unnormalized{});
    }
    return 0;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "peers_linattn_forward: %s\n", error.what());
    return 1;
  }
}
