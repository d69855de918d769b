// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// forward() in the fused chunkwise form: one launch if it is causal; three where a long sequence is cut into
// pieces that run side by side, and where queries see everything (sums, what goes before each piece, outputs).
#ifndef LINATTN_CUDA_FUSED_CALL_HPP
#define LINATTN_CUDA_FUSED_CALL_HPP

#include <linattn/cuda/call.hpp>
#include <linattn/cuda/kernel_fused.hpp>
#include <linattn/cuda/kernel_fused_groups.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// The kernels of maps whose features one group of warps can hold, or several share.
template <int Groups>
struct fused_kernels {
  template <class... Of>
  using of = fused_groups_kernel<Of...>;
};
template <>
struct fused_kernels<1> {
  template <class... Of>
  using of = fused_kernel<Of...>;
};

template <class Selector, class Attention>
class fused_call {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using operand = operand_of<Selector, map, element>;
  using real = typename operand::real;
  using args_type = typename Attention::forward_args;
  template <fused_work Work>
  using kernel =
      typename fused_kernels<octet_shares<map>::groups>::template of<map, typename Attention::normalizer_type, element,
                                                                     operand, std::integral_constant<fused_work, Work>>;
  using outputs = kernel<fused_work::outputs>;

  fused_call(device_arena arena, Attention const& attn, args_type const& args, int arch)
      : attn_(attn), args_(args), shape_(shape_of(args)), arena_(arena) {
    value_tiles_ = (std::max)(1, (shape_.value_dim + outputs::value_tile - 1) / outputs::value_tile);
    std::int64_t const whole = round_up((std::max)(shape_.time, std::int64_t{1}), outputs::chunk);
    piece_tokens_ = (std::min)(whole, Selector::segment_tokens(arch));
    one_piece_ = piece_tokens_ >= shape_.time && shape_.causal && shape_.heads > 0;
    // In place, blocks that share a state would read what another has already replaced.
    bool const in_place = args.final_state.present() && args.initial_state.kv.data == args.final_state.kv.data &&
                          args.initial_state.k_sum.data == args.final_state.k_sum.data;
    copies_ = one_piece_ && in_place && (value_tiles_ > 1 || shape_.group() > 1);
    if (!one_piece_ || copies_) {
      pieces_ = take_states<real>(arena_, shape_.pieces(piece_tokens_), shape_, map::feature_dim);
    }
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.taken(); }

  void run(simt::stream_t stream) const {
    device_states<real const> const none{};
    if (one_piece_) {
      launch<fused_work::outputs>(stream, states_of(args_.initial_state), true,
                                  copies_ ? pieces_ : states_of(args_.final_state), !copies_);
      if (copies_) {
        scan(stream, none);
      }
      return;
    }
    launch<fused_work::sums>(stream, none, false, pieces_, false);
    scan(stream, states_of(args_.initial_state));
    if (shape_.causal) {
      launch<fused_work::outputs>(stream, read_only(pieces_), false, {}, false);
    } else {
      launch<fused_work::state_only>(stream, read_only(pieces_), false, {}, false);
    }
  }

 private:
  /// `..._a_sequence`: those states are numbered by sequence, not by piece.
  template <fused_work Work>
  void launch(simt::stream_t stream, device_states<real const> const& before, bool before_a_sequence,
              device_states<real> const& after, bool after_a_sequence) const {
    launch_items<kernel<Work>>(
        stream,
        {attn_.map, attn_.normalizer, shape_, rows_of(args_.q), rows_of(args_.k), rows_of(args_.v), rows_of(args_.out),
         rows_of(args_.denominator), before, after, needs_all_pieces(shape_, states_of(args_.final_state)),
         piece_tokens_, before_a_sequence, after_a_sequence, value_tiles_, 0},
        "forward");
  }

  void scan(simt::stream_t stream, device_states<real const> const& initial) const {
    run_scan_of(stream, shape_, pieces_, initial, states_of(args_.final_state), piece_tokens_, map::feature_dim,
                scan_result::before_piece, "forward");
  }

  Attention attn_;
  args_type args_;
  device_shape shape_;
  device_arena arena_;
  int value_tiles_ = 1;
  bool one_piece_ = true;
  bool copies_ = false;
  std::int64_t piece_tokens_ = 0;
  device_states<real> pieces_{};
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
