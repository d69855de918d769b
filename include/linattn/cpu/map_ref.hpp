// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// map_ref: a feature map without its type. Each hook works on a whole tile of tokens, so a call through a pointer costs
// nothing that can be measured, and everything above the hooks is compiled once for all maps.
#ifndef LINATTN_CPU_MAP_REF_HPP
#define LINATTN_CPU_MAP_REF_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cpu/lanes.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Real>
struct map_ref {
  void const* self = nullptr;
  int head_dim = 1;
  int feature_dim = 1;
  int gradient_size = 0;
  bool all_heads = false;

  /// As prepare_lanes, score_lanes, feature_lanes and so on of cpu/lanes.hpp.
  void (*prepare)(void const* self, role r, int head, Real* x, std::ptrdiff_t stride, int tokens) = nullptr;
  void (*score)(void const* self, Real* pairs, std::ptrdiff_t stride, int rows, int lanes, pair_mask mask,
                Real const* extra, Real* sums) = nullptr;
  void (*features)(void const* self, Real const* x, std::ptrdiff_t stride, int tokens, int first, int last, Real* phi,
                   std::ptrdiff_t phi_stride) = nullptr;
  /// One row: prepared (if `raw`), then all its features.
  void (*row_features)(void const* self, role r, int head, bool raw, Real* row, Real* phi) = nullptr;
  /// The rows of all heads of a token, in place.
  void (*prepare_row)(void const* self, role r, int head, Real* rows) = nullptr;

  // Set by erase_differentiable_map only.
  void (*score_backward)(void const* self, Real* pairs, Real* grads, std::ptrdiff_t stride, int rows, int lanes,
                         pair_mask mask) = nullptr;
  void (*feature_backward)(void const* self, Real const* x, std::ptrdiff_t stride, int tokens, int first, int last,
                           Real const* phi_grad, std::ptrdiff_t phi_stride, Real* grad) = nullptr;
  void (*prepare_backward)(void const* self, role r, int head, Real const* raw, Real* grad, std::ptrdiff_t stride,
                           int tokens, Real* partial) = nullptr;
  void (*prepare_row_backward)(void const* self, role r, int head, Real const* rows, Real* grad,
                               Real* partial) = nullptr;
};

/// The hooks that forward and step use. The map must outlive the reference.
template <class Real, FeatureMap Map>
map_ref<Real> erase_map(Map const& map) noexcept {
  map_ref<Real> ref;
  ref.self = &map;
  ref.head_dim = Map::head_dim;
  ref.feature_dim = Map::feature_dim;
  ref.all_heads = Map::all_heads;
  ref.prepare = [](void const* self, role r, int head, Real* x, std::ptrdiff_t stride, int tokens) {
    prepare_lanes(*static_cast<Map const*>(self), r, head, x, stride, tokens);
  };
  ref.score = [](void const* self, Real* pairs, std::ptrdiff_t stride, int rows, int lanes, pair_mask mask,
                 Real const* extra, Real* sums) {
    score_lanes(*static_cast<Map const*>(self), pairs, stride, rows, lanes, mask, extra, sums);
  };
  ref.features = [](void const* self, Real const* x, std::ptrdiff_t stride, int tokens, int first, int last, Real* phi,
                    std::ptrdiff_t phi_stride) {
    feature_lanes(*static_cast<Map const*>(self), x, stride, tokens, first, last, phi, phi_stride);
  };
  ref.row_features = [](void const* self, role r, int head, bool raw, Real* row, Real* phi) {
    feature_row(*static_cast<Map const*>(self), r, head, raw, row, phi);
  };
  ref.prepare_row = [](void const* self, role r, int head, Real* rows) {
    static_cast<Map const*>(self)->prepare(rows, r, head);
  };
  return ref;
}

/// All hooks.
template <class Real, DifferentiableFeatureMap Map>
map_ref<Real> erase_differentiable_map(Map const& map) noexcept {
  map_ref<Real> ref = erase_map<Real>(map);
  ref.gradient_size = Map::gradient_size;
  ref.score_backward = [](void const* self, Real* pairs, Real* grads, std::ptrdiff_t stride, int rows, int lanes,
                          pair_mask mask) {
    score_backward_lanes(*static_cast<Map const*>(self), pairs, grads, stride, rows, lanes, mask);
  };
  ref.feature_backward = [](void const* self, Real const* x, std::ptrdiff_t stride, int tokens, int first, int last,
                            Real const* phi_grad, std::ptrdiff_t phi_stride, Real* grad) {
    feature_backward_lanes(*static_cast<Map const*>(self), x, stride, tokens, first, last, phi_grad, phi_stride, grad);
  };
  ref.prepare_backward = [](void const* self, role r, int head, Real const* raw, Real* grad, std::ptrdiff_t stride,
                            int tokens, Real* partial) {
    prepare_backward_lanes(*static_cast<Map const*>(self), r, head, raw, grad, stride, tokens, partial);
  };
  ref.prepare_row_backward = [](void const* self, role r, int head, Real const* rows, Real* grad, Real* partial) {
    static_cast<Map const*>(self)->prepare_backward(rows, grad, r, head, partial);
  };
  return ref;
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
