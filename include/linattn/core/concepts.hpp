// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The vocabulary: what a feature map, a normalizer, a strategy and an executor are. Hooks are required; defaults come
// from base classes (elementwise_map, polynomial), so that a misspelt hook is a compile error.
#ifndef LINATTN_CORE_CONCEPTS_HPP
#define LINATTN_CORE_CONCEPTS_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI {

/// Which side of <q, k> a row is on; maps may treat the two differently.
enum class role : std::uint8_t { query, key };

/// The gradients of a map that has no parameters.
struct no_gradients {};

/// A map phi with phi(x).phi(y) == score(<x, y>) for all prepared x, y (checked by feature/laws.hpp).
///   prepare(x, role, head)  in place, one row of head_dim numbers; if `all_heads`, the rows of all heads of one token,
///                           contiguous, and `head` is the number of heads.
///   score(s)                the weight of a pair, from s = <q', k'>.
///   feature(x', n)          the n-th coordinate of phi(x'), 0 <= n < feature_dim.
///   check(report, heads, kv_heads)  reports bad run-time parameters.
///   bounded                 optional: true says that prepared rows are bounded whatever the input, as after a LayerNorm.
///   vectorized              whether prepare and prepare_backward are templates that also take vectors of rows, one lane
///                           a token: a CPU engine is then faster.
template <class M>
concept FeatureMap = std::is_trivially_copyable_v<M> && (M::head_dim > 0) && (M::feature_dim > 0) &&
    requires(M const& map, float* x, float const* prepared, float s, int n, int head, diagnostic& report,
             std::int64_t heads) {
      { M::all_heads } -> std::convertible_to<bool>;
      { M::vectorized } -> std::convertible_to<bool>;
      { M::name } -> std::convertible_to<char const*>;
      { map.prepare(x, role::query, head) } -> std::same_as<void>;
      { map.score(s) } -> std::same_as<float>;
      { map.feature(prepared, n) } -> std::same_as<float>;
      { map.check(report, heads, heads) } noexcept -> std::same_as<void>;
    };

namespace detail {
/// The map's hooks are those of the base that names itself `packed_owner`: none is replaced in a derived class.
template <class M>
concept KeepsPackedHooks = requires {
  requires std::is_same_v<decltype(&M::template score<float>), float (M::packed_owner::*)(float) const>;
  requires std::is_same_v<decltype(&M::template score_grad<float>), float (M::packed_owner::*)(float) const>;
  requires std::is_same_v<decltype(&M::template feature<float>), float (M::packed_owner::*)(float const*, int) const>;
  requires std::is_same_v<decltype(&M::template feature_backward<float>),
                          void (M::packed_owner::*)(float const*, int, float, float*) const>;
};
}  // namespace detail

/// A map whose score is c0 + c1 s + c2 s^2 and whose features are M::packed (feature/packed_features.hpp): a backend
/// takes score and features from there, in registers, instead of calling the hooks. A map that derives from one of these
/// and has a score or feature of its own is none: its hooks are called.
template <class M>
concept PolynomialMap =
    FeatureMap<M> && detail::KeepsPackedHooks<M> && (M::feature_dim == M::packed::feature_dim) && requires {
      { M::c0 } -> std::convertible_to<double>;
      { M::c1 } -> std::convertible_to<double>;
      { M::c2 } -> std::convertible_to<double>;
    };

/// A map that backward() accepts.
///   score_grad(s)                     d score / d s.
///   feature_backward(x', n, g, grad)  grad[i] += g * d feature(x', n) / d x'[i].
///   prepare_backward(x, grad, role, head, partial)  grad, of the prepared row, becomes the gradient of x; adds the
///                                     row's share of the parameters' gradients to partial[0 .. gradient_size).
///   accumulate(gradients, role, head, n, sum)       adds the finished sum of partial[n] to the user's views. Different n
///                                     reach different elements: they may be added at the same time.
template <class M>
concept DifferentiableFeatureMap = FeatureMap<M> && std::is_trivially_copyable_v<typename M::gradients> &&
    requires(M const& map, float const* x, float* grad, float g, int n, typename M::gradients const& gradients,
             diagnostic& report, std::int64_t heads) {
      { M::gradient_size } -> std::convertible_to<int>;
      { map.score_grad(g) } -> std::same_as<float>;
      { map.feature_backward(x, n, g, grad) } -> std::same_as<void>;
      { map.prepare_backward(x, grad, role::query, n, grad) } -> std::same_as<void>;
      { map.accumulate(gradients, role::query, n, n, g) } -> std::same_as<void>;
      { map.check_gradients(gradients, report, heads, heads) } noexcept -> std::same_as<void>;
    };

/// What divides the weighted sum: out = num * scale(den), den = the sum of the weights.
///   scale must not be 0; scale_grad is its derivative by den.
template <class N>
concept Normalizer = std::is_trivially_copyable_v<N> && requires(N const& normalizer, float den, diagnostic& report) {
  { N::needs_denominator } -> std::convertible_to<bool>;
  { normalizer.scale(den) } -> std::same_as<float>;
  { normalizer.scale_grad(den) } -> std::same_as<float>;
  { normalizer.check(report) } noexcept -> std::same_as<void>;
};

/// A strategy says that it is one: strategies are tags with knobs, told apart by name and not by shape.
template <class S>
concept ExecutionStrategy = std::is_trivially_copyable_v<S> && requires { typename S::is_execution_strategy; };

/// Where the work runs. The verbs find the code through engine<Executor, Strategy>.
template <class E>
concept Executor = requires { typename E::is_executor; };

}  // namespace linattn::inline LINATTN_ABI

#endif
