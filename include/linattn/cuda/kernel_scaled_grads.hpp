// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What makes the gradients of queries and keys mirror images (docs/math.md, the ones column): G = g scale(den) of each
// row in the operand format, and c = (g . num) scale'(den), against a 1 beside the values.
#ifndef LINATTN_CUDA_KERNEL_SCALED_GRADS_HPP
#define LINATTN_CUDA_KERNEL_SCALED_GRADS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/simt/simt.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// A warp takes a row after the other.
template <class Norm, class Element, class Operand>
struct scaled_grads_kernel {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  static constexpr char const* name = "launching scaled_grads_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 4;
  static constexpr int rows = 32;  // of a block

  struct Params {
    Norm normalizer;
    std::int64_t batch;
    std::int64_t time;
    int heads;
    int value_dim;
    device_rows<Element const> grad_out;
    device_rows<Element const> out;  // this and the denominators: only where the normalizer needs them
    device_rows<real const> denominator;
    device_rows<operand_element> scaled;  // G
    device_rows<real> weights;            // c; no data where it is zero
    std::int64_t first_item;
  };
  struct Shared {};

  static std::int64_t items(Params const& p) { return (p.batch * p.heads * p.time + rows - 1) / rows; }

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    std::int64_t const first = (p.first_item + static_cast<std::int64_t>(simt::block_idx().x)) * rows;
    LINATTN_SIMT_NO_UNROLL
    for (int i = simt::warp(); i < rows; i += kThreads / 32) {
      std::int64_t const number = first + i;
      if (number >= p.batch * p.heads * p.time) {
        return;  // all of the warp
      }
      take_row(p, number / p.time / p.heads, number / p.time % p.heads, number % p.time);
    }
  }

 private:
  static LINATTN_DEVICE void take_row(Params const& p, std::int64_t batch, std::int64_t head, std::int64_t time) {
    Element const* const grad = p.grad_out.row(batch, head, time);
    operand_element* const scaled = p.scaled.row(batch, head, time);
    real scale = real(1);
    if constexpr (Norm::needs_denominator) {
      Element const* const out = p.out.row(batch, head, time);
      real dot = real(0);
      LINATTN_SIMT_NO_UNROLL
      for (int n = simt::lane(); n < p.value_dim; n += 32) {
        dot += to_real<real>(simt::load(grad + n)) * to_real<real>(simt::load(out + n));
      }
      dot = simt::warp_sum(dot);  // g . out = scale (g . num)
      real const den = simt::load(p.denominator.row(batch, head, time));
      scale = p.normalizer.scale(den);
      if (simt::lane() == 0) {
        simt::store(p.weights.row(batch, head, time), dot * (p.normalizer.scale_grad(den) / scale));
      }
    }
    LINATTN_SIMT_NO_UNROLL
    for (int n = simt::lane(); n < p.value_dim; n += 32) {
      simt::store(scaled + n, to_element<operand_element>(to_real<real>(simt::load(grad + n)) * scale));
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
