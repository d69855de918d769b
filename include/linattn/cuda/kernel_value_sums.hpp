// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradients by values of which each query head has left a part: the parts of a key head, added in the heads' order.
#ifndef LINATTN_CUDA_KERNEL_VALUE_SUMS_HPP
#define LINATTN_CUDA_KERNEL_VALUE_SUMS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/simt/simt.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// A warp takes a row after the other.
template <class Element, class Real>
struct value_sums_kernel {
  static constexpr char const* name = "launching value_sums_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 4;
  static constexpr int rows = 32;  // of a block

  struct Params {
    device_shape shape;
    device_rows<Real const> parts;  // of each query head
    device_rows<Element> to;
    std::int64_t first_item;
  };
  struct Shared {};

  static LINATTN_HOST_DEVICE std::int64_t rows_of_call(Params const& p) {
    return p.shape.batch * p.shape.kv_heads * p.shape.time;
  }
  static std::int64_t items(Params const& p) { return (rows_of_call(p) + rows - 1) / rows; }

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    std::int64_t const first = (p.first_item + static_cast<std::int64_t>(simt::block_idx().x)) * rows;
    LINATTN_SIMT_NO_UNROLL
    for (int i = simt::warp(); i < rows && first + i < rows_of_call(p); i += kThreads / 32) {
      std::int64_t const row = (first + i) / p.shape.time;
      add_row(p, row / p.shape.kv_heads, static_cast<int>(row % p.shape.kv_heads), (first + i) % p.shape.time);
    }
  }

 private:
  static LINATTN_DEVICE void add_row(Params const& p, std::int64_t batch, int kv_head, std::int64_t time) {
    LINATTN_SIMT_NO_UNROLL
    for (int n = simt::lane(); n < p.shape.value_dim; n += 32) {
      Real sum = Real(0);
      LINATTN_SIMT_NO_UNROLL
      for (int member = 0; member < p.shape.group(); ++member) {
        sum += simt::load(p.parts.row(batch, p.shape.query_head(kv_head, member), time) + n);
      }
      simt::store(p.to.row(batch, kv_head, time) + n, to_element<Element>(sum));
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
