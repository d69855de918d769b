// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What makes the gradients of queries and keys mirror images (docs/math.md, the ones column): G = g scale(den) of each
// row in the operand format, and c = (g . num) scale'(den), against a 1 beside the values.
#ifndef LINATTN_CUDA_KERNEL_SCALED_GRADS_HPP
#define LINATTN_CUDA_KERNEL_SCALED_GRADS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Eight lanes take a row, 16 bytes at a time each; a block takes rows of one head, behind each other in time.
template <class Norm, class Element, class Operand>
struct scaled_grads_kernel {
  using real = typename Operand::real;
  using operand_element = typename Operand::element;
  using piece = element_piece<Element>;
  static_assert(sizeof(Element) == sizeof(operand_element),
                "linattn::scaled_grads_kernel: an operand format of another size than the element's; the same size; "
                "choose another");
  static constexpr char const* name = "launching scaled_grads_kernel";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 8;
  static constexpr int lanes = 8;  // of a row
  static constexpr int rows = 64;  // of a block
  static constexpr int step = lanes * piece::size;

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
  struct alignas(16) raw_piece {  // as words: numbers apart would be put together where the ways to read them join
    std::uint32_t w[4];
  };
  struct alignas(16) operand_piece {
    typename Operand::word w[std::size_t{piece::size / 2}];
  };

  static std::int64_t items(Params const& p) { return p.batch * p.heads * ((p.time + rows - 1) / rows); }

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    work_item item(p.first_item + static_cast<std::int64_t>(simt::block_idx().x));
    std::int64_t const begin = std::int64_t{item.digit(static_cast<int>((p.time + rows - 1) / rows))} * rows;
    int const head = item.digit(p.heads);
    std::int64_t const batch = item.rest();
    int const count = p.time - begin < rows ? static_cast<int>(p.time - begin) : rows;
    int const first_row = simt::warp() * (32 / lanes);
    LINATTN_SIMT_NO_UNROLL
    for (int row = first_row; row < count; row += kThreads / lanes) {  // alike for all of the warp
      int const own = row + simt::lane() / lanes;
      take_row(p, batch, head, begin + own, own < count);
    }
  }

 private:
  /// `there`: the row, of which this lane takes its pieces.
  static LINATTN_DEVICE void take_row(Params const& p, std::int64_t batch, std::int64_t head, std::int64_t time,
                                      bool there) {
    int const own = simt::lane() % lanes * piece::size;
    int const columns = there ? p.value_dim : 0;
    Element const* const grad = p.grad_out.row(batch, head, time);
    raw_piece const first = read(grad, own, p.grad_out.vectors, columns);  // often all that this lane has
    real scale = real(1);
    if constexpr (Norm::needs_denominator) {
      Element const* const out = p.out.row(batch, head, time);
      real dot = real(0);
      add_products(dot, first, read(out, own, p.out.vectors, columns));
      LINATTN_SIMT_NO_UNROLL
      for (int n = own + step; n < columns; n += step) {
        add_products(dot, read(grad, n, p.grad_out.vectors, columns), read(out, n, p.out.vectors, columns));
      }
      LINATTN_SIMT_UNROLL
      for (int other = lanes / 2; other > 0; other /= 2) {
        dot += simt::shuffle_xor(dot, other);  // g . out = scale (g . num)
      }
      real const den = there ? simt::load_readonly(p.denominator.row(batch, head, time)) : real(1);
      scale = p.normalizer.scale(den);
      if (there && own == 0) {
        simt::store(p.weights.row(batch, head, time), dot * (p.normalizer.scale_grad(den) / scale));
      }
    }
    operand_element* const scaled = p.scaled.row(batch, head, time);
    write(scaled, own, p.scaled.vectors, columns, first, scale);
    LINATTN_SIMT_NO_UNROLL
    for (int n = own + step; n < columns; n += step) {
      write(scaled, n, p.scaled.vectors, columns, read(grad, n, p.grad_out.vectors, columns), scale);
    }
  }

  /// Numbers n, n + 1, ... of a row; zero past its end.
  static LINATTN_DEVICE raw_piece read(Element const* row, int n, bool vectors, int columns) {
    if (vectors && n + piece::size <= columns) {
      return simt::load_readonly(reinterpret_cast<raw_piece const*>(row + n));
    }
    piece p;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < piece::size; ++i) {
      p.e[i] = n + i < columns ? simt::load_readonly(row + n + i) : to_element<Element>(real(0));
    }
    return __builtin_bit_cast(raw_piece, p);
  }
  static LINATTN_DEVICE void add_products(real& sum, raw_piece const& raw_a, raw_piece const& raw_b) {
    piece const a = __builtin_bit_cast(piece, raw_a);
    piece const b = __builtin_bit_cast(piece, raw_b);
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < piece::size; ++i) {
      sum += to_real<real>(a.e[i]) * to_real<real>(b.e[i]);
    }
  }
  static LINATTN_DEVICE void write(operand_element* row, int n, bool vectors, int columns, raw_piece const& grads,
                                   real scale) {
    piece const grad = __builtin_bit_cast(piece, grads);
    if (vectors && n + piece::size <= columns) {
      operand_piece p;
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < piece::size / 2; ++i) {
        p.w[i] = Operand::pack(to_real<real>(grad.e[2 * i]) * scale, to_real<real>(grad.e[2 * i + 1]) * scale);
      }
      simt::store(reinterpret_cast<operand_piece*>(row + n), p);
      return;
    }
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < piece::size; ++i) {
      if (n + i < columns) {
        simt::store(row + n + i, to_element<operand_element>(to_real<real>(grad.e[i]) * scale));
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
