// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// bound_map: a map with the parameters of a problem behind its views, and memory for their gradients. For a map without
// parameters it is the map alone.
#ifndef LINATTN_TESTS_SUPPORT_BOUND_MAP_HPP
#define LINATTN_TESTS_SUPPORT_BOUND_MAP_HPP

#include "support/guarded_buffer.hpp"
#include "support/oracle.hpp"
#include "support/random.hpp"

#include <linattn/core/tensor_view.hpp>

#include <cstddef>
#include <type_traits>
#include <vector>

namespace linattn_test {

template <class Map>
concept HasParameters = requires(Map map) { map.parameters.gamma_q; };

template <class Map>
struct bound_map {
  explicit bound_map(problem const&) {}
  Map map{};
};

/// One parameter and its gradient, as the library sees them: rank 1 or 2.
template <class P>
class bound_parameter {
 public:
  /// `dense` is (heads, head_dim), or empty if the map has no such parameter. Gradients start at `start`.
  bound_parameter(std::vector<double> const& dense, parameter_plan const& plan, int head_dim, double start = 0.5)
      : head_dim_(head_dim), rank_(plan.rank) {
    std::size_t const row = static_cast<std::size_t>(head_dim);
    std::size_t const size = dense.empty() ? 0 : (rank_ == 1 ? row : dense.size());
    value_.assign(size, P(0));
    grad_ = guarded_buffer<P>(size);
    grad_.own_all();
    for (std::size_t i = 0; i < size; ++i) {
      value_[i] = static_cast<P>(dense[i]);
      grad_.data()[i] = static_cast<P>(start);
    }
  }

  [[nodiscard]] linattn::parameter_view<P const> view() const { return make<P const>(value_.data()); }
  [[nodiscard]] linattn::parameter_view<P> grad_view() { return make<P>(grad_.data()); }
  [[nodiscard]] bool canaries_intact() const { return grad_.canaries_intact(); }
  [[nodiscard]] std::size_t size() const { return value_.size(); }
  [[nodiscard]] std::vector<double> gather() const {
    std::vector<double> numbers;
    for (std::size_t i = 0; i < grad_.size(); ++i) {
      numbers.push_back(to_double(grad_.data()[i]));
    }
    return numbers;
  }

 private:
  template <class U>
  linattn::parameter_view<U> make(U* data) const {
    auto const size = static_cast<std::int64_t>(value_.size());
    if (size == 0) {
      return {};
    }
    if (rank_ == 1) {
      return linattn::tensor_view<U, 1>{data, {size}};
    }
    return linattn::tensor_view<U, 2>{data, {size / head_dim_, head_dim_}};
  }

  int head_dim_;
  int rank_;
  std::vector<P> value_;
  guarded_buffer<P> grad_;
};

template <HasParameters Map>
struct bound_map<Map> {
  using parameter_type = std::remove_const_t<std::remove_pointer_t<decltype(Map{}.parameters.gamma_q.data)>>;

  explicit bound_map(problem const& p)
      : shared(p.map.parameters.shared),
        gamma_q(p.gamma_q, p.map.parameters, p.head_dim),
        beta_q(p.beta_q, p.map.parameters, p.head_dim),
        gamma_k(p.gamma_k, p.map.parameters, p.head_dim),
        beta_k(p.beta_k, p.map.parameters, p.head_dim) {
    map.layer_norm_eps = p.layer_norm_eps;
    map.parameters.gamma_q = gamma_q.view();
    map.parameters.beta_q = beta_q.view();
    map.parameters.gamma_k = shared ? gamma_q.view() : gamma_k.view();
    map.parameters.beta_k = shared ? beta_q.view() : beta_k.view();
    grads.gamma_q = gamma_q.grad_view();
    grads.beta_q = beta_q.grad_view();
    grads.gamma_k = shared ? gamma_q.grad_view() : gamma_k.grad_view();
    grads.beta_k = shared ? beta_q.grad_view() : beta_k.grad_view();
  }
  bound_map(bound_map const&) = delete;
  bound_map& operator=(bound_map const&) = delete;

  bool shared;
  bound_parameter<parameter_type> gamma_q, beta_q, gamma_k, beta_k;
  Map map{};
  typename Map::gradients grads{};
};

}  // namespace linattn_test

#endif
