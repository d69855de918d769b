// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// forward() in the fused chunkwise form: one launch, or three where a long sequence is cut into pieces that run side by
// side (their sums, what goes before each piece, the outputs).
#ifndef LINATTN_CUDA_FUSED_CALL_HPP
#define LINATTN_CUDA_FUSED_CALL_HPP

#include <linattn/cuda/call.hpp>
#include <linattn/cuda/kernel_fused.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Selector, class Attention>
class fused_call {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using operand = operand_of<Selector, map, element>;
  using real = typename operand::real;
  using args_type = typename Attention::forward_args;
  using kernel = fused_kernel<map, typename Attention::normalizer_type, element, operand>;

  fused_call(device_arena arena, Attention const& attn, args_type const& args)
      : attn_(attn), args_(args), shape_(shape_of(args)), arena_(arena) {
    value_tiles_ = (std::max)(1, (shape_.value_dim + kernel::value_tile - 1) / kernel::value_tile);
    std::int64_t const whole = round_up((std::max)(shape_.time, std::int64_t{1}), kernel::chunk);
    piece_tokens_ = (std::min)(whole, Selector::segment_tokens(shape_.time));
    one_piece_ = piece_tokens_ >= shape_.time && shape_.heads > 0;  // without queries, only sums() takes the keys
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
    if (one_piece_) {
      run_kernel(stream, states_of(args_.initial_state), true, copies_ ? pieces_ : states_of(args_.final_state),
                 !copies_, shape_.causal ? fused_work::outputs : fused_work::all_then_out);
      if (copies_) {
        run_scan(stream, device_states<real const>{});
      }
      return;
    }
    run_kernel(stream, device_states<real const>{}, false, pieces_, false, fused_work::sums);
    run_scan(stream, states_of(args_.initial_state));
    run_kernel(stream, read_only(pieces_), false, device_states<real>{}, false,
               shape_.causal ? fused_work::outputs : fused_work::state_only);
  }

 private:
  /// `..._a_sequence`: those states are numbered by sequence, not by piece.
  void run_kernel(simt::stream_t stream, device_states<real const> const& before, bool before_a_sequence,
                  device_states<real> const& after, bool after_a_sequence, fused_work work) const {
    launch_items<kernel>(stream,
                         {attn_.map, attn_.normalizer, shape_, rows_of(args_.q), rows_of(args_.k), rows_of(args_.v),
                          rows_of(args_.out), rows_of(args_.denominator), before, after, piece_tokens_,
                          before_a_sequence, after_a_sequence, work, value_tiles_, 0},
                         "forward");
  }

  void run_scan(simt::stream_t stream, device_states<real const> const& initial) const {
    run_scan_of(stream, shape_, pieces_, initial, states_of(args_.final_state), piece_tokens_, map::feature_dim,
                "forward");
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
