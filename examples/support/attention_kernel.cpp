// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The table of names of attention_kernel.hpp. The kernels themselves are in attention_kernel_*.cpp, a family each.
#include "attention_kernel.hpp"

#include <array>
#include <utility>

#include "attention_kernel_families.hpp"

namespace example {
namespace {

using maker = std::unique_ptr<attention_kernel> (*)(attention_shape);

constexpr std::array kKernels = {
    std::pair<std::string_view, maker>{"rebased", make_rebased},                        // (gamma LN(x) + beta)^2
    std::pair<std::string_view, maker>{"rebased_norm", make_rebased_norm},              // LN(x)^2
    std::pair<std::string_view, maker>{"rebased_gamma_beta", make_rebased_gamma_beta},  // (gamma x + beta)^2
    std::pair<std::string_view, maker>{"rebased_gamma", make_rebased_gamma},            // (gamma x)^2
    std::pair<std::string_view, maker>{"rebased_plain", make_rebased_plain},            // x^2
    std::pair<std::string_view, maker>{"based", make_based},                            // 1 + s + s^2 / 2
    std::pair<std::string_view, maker>{"power2", make_power2},                          // s^2
    std::pair<std::string_view, maker>{"elu_plus_one", make_elu_plus_one},
    std::pair<std::string_view, maker>{"identity", make_identity},
    std::pair<std::string_view, maker>{"softmax", make_softmax},  // exp(<q, k> / sqrt(key_dim)), not linattn's
};

constexpr auto kNames = [] {
  std::array<std::string_view, kKernels.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    names[i] = kKernels[i].first;
  }
  return names;
}();

}  // namespace

std::span<std::string_view const> attention_kernel_names() { return kNames; }

std::unique_ptr<attention_kernel> make_attention_kernel(std::string_view name, attention_shape shape) {
  for (auto const& [known, make] : kKernels) {
    if (known == name) {
      return make(shape);
    }
  }
  return nullptr;
}

}  // namespace example
