// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Presets: attentions that compute what other codes compute, so that their weights can move here. Each is a name for
// settings that exist already; nothing is added to them.
#ifndef LINATTN_PRESETS_HPP
#define LINATTN_PRESETS_HPP

#include <linattn/attention.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/normalizer/sum.hpp>
#include <linattn/normalizer/unnormalized.hpp>

namespace linattn::inline LINATTN_ABI {

/// The layer of the ReBased paper's repository: s = q~.k~ / sqrt(d), weight s^2, out = num / (den + 1e-12).
/// LayerNorm  over the rows of all heads of a token jointly (width heads * d), eps 1e-5, before the heads are split.
/// Parameters ln_q.weight, ln_q.bias, ln_k.weight, ln_k.bias of heads * d numbers: views of shape (heads, d).
/// Differs    that code keeps all d^2 features and runs the quadratic form only; the values are the same. In fp16 its
///            eps is 0; here sums are float.
/// Source     github.com/corl-team/rebased, src/mixers/rebased.py; arXiv:2402.10644.
template <int HeadDim, ExecutionStrategy Strategy = chunkwise<>, Element ElementType = float>
[[nodiscard]] constexpr auto official_rebased(
    typename rebased<HeadDim, normalize::layer_norm_all_heads>::parameter_set const& parameters = {}) noexcept {
  using map = rebased<HeadDim, normalize::layer_norm_all_heads>;
  return attention<map, Strategy, sum_normalizer, ElementType>{
      /*map=*/map{/*parameters=*/parameters}, /*strategy=*/{}, /*normalizer=*/sum_normalizer{/*eps=*/1e-12}};
}

/// ReBased of flash-linear-attention: the same scores, another LayerNorm.
/// LayerNorm  each head's row by itself, eps 1e-5.
/// Parameters feature_map.gamma and feature_map.beta of d numbers: one pair for q, for k and for all heads.
/// Differs    that code adds 1e-5 in its parallel form and 1e-10 in its chunk form, so that its two forms disagree
///            where the sum of the weights is small: pass the eps of the form that the weights were trained with. Its
///            chunk form keeps packed features, first the squares and then the pairs i < j.
/// Source     github.com/fla-org/flash-linear-attention, fla/layers/rebased.py, fla/modules/feature_map.py.
template <int HeadDim, ExecutionStrategy Strategy = chunkwise<>, Element ElementType = float>
[[nodiscard]] constexpr auto fla_rebased(parameter_view<float const> gamma = {}, parameter_view<float const> beta = {},
                                         double eps = 1e-5) noexcept {
  using map = rebased<HeadDim, normalize::layer_norm>;
  return attention<map, Strategy, sum_normalizer, ElementType>{
      /*map=*/map{/*parameters=*/{gamma, beta, gamma, beta}}, /*strategy=*/{},
      /*normalizer=*/sum_normalizer{/*eps=*/eps}};
}

/// Based of Zoology and of the paper's repository: weight 1 + s + s^2/2, s = q.k / sqrt(d), out = num / (den + 1e-12).
/// LayerNorm  none.
/// Differs    that code keeps 1 + d + d^2 features (273 at d = 16): linattn::feature_order::full. One of its paths adds
///            1e-6 instead. flash-linear-attention's Based op adds 1e-6 too, and rounds the scaled q to bf16 first.
/// Source     github.com/HazyResearch/zoology, zoology/mixers/based.py; arXiv:2402.18668, arXiv:2312.04927.
template <int HeadDim, ExecutionStrategy Strategy = chunkwise<>, Element ElementType = float>
[[nodiscard]] constexpr auto zoology_based(double eps = 1e-12) noexcept {
  using map = taylor<HeadDim>;
  return attention<map, Strategy, sum_normalizer, ElementType>{/*map=*/map{}, /*strategy=*/{},
                                                               /*normalizer=*/sum_normalizer{/*eps=*/eps}};
}

/// ThunderKittens' Based kernel: the weights of Based, and no denominator: out = num. An RMSNorm follows there.
/// LayerNorm  none.
/// Differs    that kernel takes d = 16 and bf16 alone, and keeps 273 features.
/// Source     github.com/HazyResearch/ThunderKittens, kernels/based.
template <int HeadDim, ExecutionStrategy Strategy = chunkwise<>, Element ElementType = float>
[[nodiscard]] constexpr auto thunderkittens_based() noexcept {
  return attention<taylor<HeadDim>, Strategy, unnormalized, ElementType>{};
}

/// Power attention of degree 2: weight s^2, s = q.k / sqrt(d), out = num / (den + eps).
/// LayerNorm  none: normalise q and k before, if the model does.
/// Differs    the paper's layer can also gate its state over time; that is not here.
/// Source     arXiv:2507.04239.
template <int HeadDim, ExecutionStrategy Strategy = chunkwise<>, Element ElementType = float>
[[nodiscard]] constexpr auto power2(double eps = 1e-6) noexcept {
  using map = power<HeadDim, 2>;
  return attention<map, Strategy, sum_normalizer, ElementType>{/*map=*/map{}, /*strategy=*/{},
                                                               /*normalizer=*/sum_normalizer{/*eps=*/eps}};
}

}  // namespace linattn::inline LINATTN_ABI

#endif
