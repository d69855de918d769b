// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// verbs: what a test's call becomes for one attention type, and the tables of each map. A backend says where the verbs
// run; on_cpu is here, others bring their own. The only file of the tests that instantiates engines; included by
// variants.cpp alone, that of each backend.
#ifndef LINATTN_TESTS_SUPPORT_VERBS_HPP
#define LINATTN_TESTS_SUPPORT_VERBS_HPP

#include "support/registry.hpp"
#include "support/variants.hpp"

#include <linattn/linattn.hpp>

#include <type_traits>
#include <vector>

namespace linattn_test {

/// The verbs run on the memory of the test itself.
struct on_cpu {
  static constexpr bool every_strategy = false;  // for every element type at every head_dim
  static linattn::cpu_executor executor(call const& c) { return c.executor; }
  /// verb(executor, call): `c` as it is, or with the addresses of copies that the executor can reach.
  template <class Attention, class Verb>
  static void run(verb_kind /*kind*/, call const& c, Verb&& verb) {
    verb(c.executor, c);
  }
  /// See verb_table.
  template <class Attention>
  static constexpr double operand(verb_kind /*kind*/) {
    return 0;
  }
};

template <class Attention, class Backend>
struct verbs {
  using element = typename Attention::element_type;
  using accumulator = typename Attention::accumulator_type;
  using map_type = typename Attention::map_type;

  static void forward(call const& c) {
    Backend::template run<Attention>(verb_kind::forward, c, [](auto const& executor, call const& there) {
      linattn::forward(executor, attention_of(there), forward_args(there));
    });
  }
  static void step(call const& c) {
    Backend::template run<Attention>(verb_kind::step, c, [](auto const& executor, call const& there) {
      linattn::step(executor, attention_of(there), state<accumulator>(there.final_state),
                    {there.q.rows<element const>(), there.k.rows<element const>(), there.v.rows<element const>(),
                     there.out.rows<element>(), there.heads});
    });
  }
  static void backward(call const& c) {
    Backend::template run<Attention>(verb_kind::backward, c, [](auto const& executor, call const& there) {
      linattn::backward(executor, attention_of(there), backward_args(there));
    });
  }
  static std::size_t forward_bytes(call const& c) {
    return linattn::workspace_bytes(Backend::executor(c), attention_of(c), forward_args(c));
  }
  static std::size_t backward_bytes(call const& c) {
    return linattn::workspace_bytes(Backend::executor(c), attention_of(c), backward_args(c));
  }

  static constexpr verb_table table() {
    constexpr bool has_backward = linattn::DifferentiableFeatureMap<map_type>;
    verb_table t{};
    t.forward = forward;
    t.step = step;
    t.forward_operand = Backend::template operand<Attention>(verb_kind::forward);
    t.step_operand = Backend::template operand<Attention>(verb_kind::step);
    if constexpr (has_backward) {
      t.backward = backward;
      t.backward_operand = Backend::template operand<Attention>(verb_kind::backward);
    }
    if constexpr (std::is_same_v<element, float>) {  // the other types count the same
      t.forward_bytes = forward_bytes;
      if constexpr (has_backward) {
        t.backward_bytes = backward_bytes;
      }
    }
    return t;
  }

 private:
  template <class Real>
  static linattn::state_view<map_type, Real> state(raw_state const& s) {
    return {s.kv.rows<Real>(), s.k_sum.numbers<Real>(), s.slots};
  }

  static Attention attention_of(call const& c) {
    Attention attn{};
    if constexpr (requires { attn.normalizer.eps; }) {
      attn.normalizer.eps = c.eps;
    }
    if constexpr (requires { attn.map.parameters; }) {
      using parameter = std::remove_pointer_t<decltype(attn.map.parameters.gamma_q.data)>;
      attn.map.layer_norm_eps = c.layer_norm_eps;
      attn.map.parameters = {
          c.parameters.gamma_q.view<parameter>(), c.parameters.beta_q.view<parameter>(),
          c.parameters.gamma_k.view<parameter>(), c.parameters.beta_k.view<parameter>()};
    }
    return attn;
  }

  static typename Attention::forward_args forward_args(call const& c) {
    typename Attention::forward_args a{};
    a.q = c.q.rows<element const>();
    a.k = c.k.rows<element const>();
    a.v = c.v.rows<element const>();
    a.out = c.out.rows<element>();
    a.denominator = c.denominator.numbers<accumulator>();
    a.initial_state = state<accumulator const>(c.initial_state);
    a.final_state = state<accumulator>(c.final_state);
    a.causal = c.causal;
    a.cu_seqlens = c.offsets.view();
    a.heads = c.heads;
    return a;
  }

  static typename Attention::backward_args backward_args(call const& c) {
    typename Attention::backward_args a{};
    a.q = c.q.rows<element const>();
    a.k = c.k.rows<element const>();
    a.v = c.v.rows<element const>();
    a.out = c.out.rows<element const>();
    a.denominator = c.denominator.numbers<accumulator const>();
    a.grad_out = c.grad_out.rows<element const>();
    a.grad_q = c.grad_q.rows<element>();
    a.grad_k = c.grad_k.rows<element>();
    a.grad_v = c.grad_v.rows<element>();
    if constexpr (requires { a.grad_map.gamma_q; }) {
      using parameter = std::remove_pointer_t<decltype(a.grad_map.gamma_q.data)>;
      a.grad_map = {c.grads.gamma_q.view<parameter>(), c.grads.beta_q.view<parameter>(),
                    c.grads.gamma_k.view<parameter>(), c.grads.beta_k.view<parameter>()};
    }
    a.initial_state = state<accumulator const>(c.initial_state);
    a.grad_final_state = state<accumulator const>(c.grad_final_state);
    a.grad_initial_state = state<accumulator>(c.grad_initial_state);
    a.causal = c.causal;
    a.cu_seqlens = c.offsets.view();
    a.heads = c.heads;
    return a;
  }
};

#if defined(LINATTN_TEST_SANITIZED)
inline constexpr bool fewer_variants = true;
#else
inline constexpr bool fewer_variants = false;
#endif
#if defined(LINATTN_TEST_NO_DOUBLES)
inline constexpr bool no_doubles = true;
#else
inline constexpr bool no_doubles = false;
#endif

/// Element types that a library is compiled with: bits in the order of element_kinds.
#if !defined(LINATTN_TEST_ELEMENTS)
#define LINATTN_TEST_ELEMENTS 15
#endif
template <int Index>
inline constexpr bool has_element = (LINATTN_TEST_ELEMENTS >> Index) % 2 == 1;

/// Whether the map's hooks also take double; a user's may be written for float alone.
template <class Map>
concept ServesDoubles = requires(Map const& map, double* x) { map.prepare(x, linattn::role::query, 0); };

/// Every strategy, in the order of strategy_name(), or a few: chunkwise<> and `second`.
template <class Backend, bool All, int Second, class Map, class Normalizer, class Element>
void fill_strategies(verb_table (&table)[strategy_count]) {
  using namespace linattn;
  auto const fill = [&]<int Place, class Strategy>(std::integral_constant<int, Place>, std::type_identity<Strategy>) {
    if constexpr (All || Place == 0 || Place == Second) {
      table[Place] = verbs<attention<Map, Strategy, Normalizer, Element>, Backend>::table();
    }
  };
  fill(std::integral_constant<int, 0>{}, std::type_identity<chunkwise<>>{});
  fill(std::integral_constant<int, 1>{}, std::type_identity<parallel>{});
  fill(std::integral_constant<int, 2>{}, std::type_identity<recurrent>{});
  fill(std::integral_constant<int, 3>{}, std::type_identity<automatic>{});
  fill(std::integral_constant<int, 4>{}, std::type_identity<chunkwise<64>>{});
  fill(std::integral_constant<int, 5>{}, std::type_identity<chunkwise<7>>{});
}

/// The variants of the registry's lines that `visit_lines` visits, on a backend.
template <class Backend, class VisitLines>
std::vector<variant> make_variants(VisitLines&& visit_lines) {
  std::vector<variant> list;
  visit_lines([&]<class MapTag, int... Dims, class NormalizerTag>(MapTag, linattn::ints<Dims...> head_dims,
                                                                  NormalizerTag, recipe const& map) {
    for_each_head_dim(head_dims, [&]<int D>(std::integral_constant<int, D>) {
      using narrow = typename MapTag::template type<D, float>;
      using normalizer = typename NormalizerTag::type;
      variant v;
      v.map = map;
      v.head_dim = D;
      v.feature_dim = narrow::feature_dim;
      v.normalized = normalizer::needs_denominator;
      // float in every strategy; at head_dim 16 the other element types too, else some: compile time.
      constexpr bool all = Backend::every_strategy || (D == 16 && !fewer_variants);
      if constexpr (has_element<0>) {
        fill_strategies<Backend, true, 0, narrow, normalizer, float>(v.table[0]);
      }
      if constexpr (has_element<1>) {
        fill_strategies<Backend, all, 0, narrow, normalizer, linattn::bf16>(v.table[1]);
      }
      if constexpr (has_element<2>) {
        fill_strategies<Backend, all, 0, narrow, normalizer, linattn::f16>(v.table[2]);
      }
      using wide = typename MapTag::template type<D, double>;
      if constexpr (has_element<3> && ServesDoubles<wide> && !no_doubles) {
        fill_strategies<Backend, all, 2, wide, normalizer, double>(v.table[3]);
      }
      list.push_back(v);
    });
  });
  return list;
}

}  // namespace linattn_test

#endif
