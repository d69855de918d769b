// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// attention: a variant of linear attention as a type, with its run-time parameters as the value; and the arguments that
// the verbs take. It knows no backend and no concrete map.
#ifndef LINATTN_ATTENTION_HPP
#define LINATTN_ATTENTION_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/element.hpp>
#include <linattn/core/segments.hpp>
#include <linattn/core/tensor_view.hpp>
#include <linattn/normalizer/sum.hpp>
#include <linattn/state.hpp>
#include <linattn/strategy/chunkwise.hpp>

#include <type_traits>

namespace linattn::inline LINATTN_ABI {

namespace detail {
template <class Map>
struct gradients_of {
  using type = no_gradients;
};
template <DifferentiableFeatureMap Map>
struct gradients_of<Map> {
  using type = typename Map::gradients;
};
}  // namespace detail

/// The variant: which feature map, how it is executed, what divides the sum, what the tensors hold.
/// B batch rows (or packed sequences), H query heads, G key heads (H a multiple of G), T time, V value_dim.
template <FeatureMap Map, ExecutionStrategy Strategy = chunkwise<>, Normalizer Norm = sum_normalizer,
          Element ElementType = float>
struct attention {
  using map_type = Map;
  using strategy_type = Strategy;
  using normalizer_type = Norm;
  using element_type = ElementType;
  using accumulator_type = accumulator_t<ElementType>;
  using state_type = state_view<Map, accumulator_type>;
  using const_state_type = state_view<Map, accumulator_type const>;

  Map map{};
  LINATTN_NO_UNIQUE_ADDRESS Strategy strategy{};
  LINATTN_NO_UNIQUE_ADDRESS Norm normalizer{};

  /// Arguments of forward(). Optional ones are absent when default-constructed.
  struct forward_args {
    tensor_view<ElementType const, 4> q{};    // (B, H, T, head_dim)
    tensor_view<ElementType const, 4> k{};    // (B, G, T, head_dim)
    tensor_view<ElementType const, 4> v{};    // (B, G, T, V)
    tensor_view<ElementType, 4> out{};        // (B, H, T, V)
    tensor_view<accumulator_type, 3> denominator{};  // (B, H, T), optional: the sum of the weights, for backward()
    const_state_type initial_state{};         // optional: zero when absent
    state_type final_state{};                 // optional; may be the initial state's own memory
    bool causal = true;                       // false: every token sees all of its sequence
    sequence_offsets cu_seqlens{};            // optional: B == 1 and T holds packed sequences; states then have one
                                              // row a sequence
    head_map heads = head_map::grouped;
  };

  /// Arguments of step(): one token of every batch row, T == 1.
  struct step_args {
    tensor_view<ElementType const, 4> q{};  // (B, H, 1, head_dim)
    tensor_view<ElementType const, 4> k{};  // (B, G, 1, head_dim)
    tensor_view<ElementType const, 4> v{};  // (B, G, 1, V)
    tensor_view<ElementType, 4> out{};      // (B, H, 1, V)
    head_map heads = head_map::grouped;
  };

  /// Arguments of backward(). grad_q, grad_k, grad_v and grad_initial_state are overwritten; grad_map accumulates.
  struct backward_args {
    tensor_view<ElementType const, 4> q{};
    tensor_view<ElementType const, 4> k{};
    tensor_view<ElementType const, 4> v{};
    tensor_view<ElementType const, 4> out{};               // optional, with denominator: saved by forward(); computed
    tensor_view<accumulator_type const, 3> denominator{};  // again when absent
    tensor_view<ElementType const, 4> grad_out{};          // (B, H, T, V)
    tensor_view<ElementType, 4> grad_q{};
    tensor_view<ElementType, 4> grad_k{};
    tensor_view<ElementType, 4> grad_v{};
    typename detail::gradients_of<Map>::type grad_map{};
    const_state_type initial_state{};       // what forward() was given
    const_state_type grad_final_state{};    // optional: the loss's gradient by the final state
    state_type grad_initial_state{};        // optional output
    bool causal = true;
    sequence_offsets cu_seqlens{};
    head_map heads = head_map::grouped;
  };
};

}  // namespace linattn::inline LINATTN_ABI

#endif
