// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// backward() as a row of launches, for every strategy: rows are prepared once; forward() is repeated if it saved
// nothing; then the gradients of queries with the states that forward() has, and those of keys and values with the same
// sums from the other end; last the maps' own gradients.
#ifndef LINATTN_CUDA_BACKWARD_CALL_HPP
#define LINATTN_CUDA_BACKWARD_CALL_HPP

#include <linattn/cuda/call.hpp>
#include <linattn/cuda/kernel_finish_grads.hpp>
#include <linattn/cuda/kernel_fused_grads.hpp>
#include <linattn/cuda/kernel_outputs.hpp>
#include <linattn/cuda/kernel_row_grads.hpp>
#include <linattn/cuda/kernel_scaled_grads.hpp>
#include <linattn/cuda/kernel_states.hpp>
#include <linattn/cuda/kernel_value_sums.hpp>
#include <linattn/normalizer/unnormalized.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Rows in the workspace, (batch, head, time, size).
template <class T>
device_rows<T> contiguous_rows(T* data, std::int64_t heads, std::int64_t time, std::int64_t size) noexcept {
  return {data, heads * time * size, time * size, size, size * static_cast<std::int64_t>(sizeof(T)) % 16 == 0};
}

/// In how many parts the gradient by a row comes: of each tile of values and, maybe, of each query head that reads it.
struct gradient_parts {
  int tiles = 1;
  bool by_query_head = false;
  std::int64_t sweeps = 0;  // that make it, of each head; 0: it is made in phases
};

/// One side of a backward: rows of q or of k from the caller's through the prepared ones to their gradients.
template <class Map, class Element, class Operand>
struct differentiated_rows {
  using real = typename Operand::real;
  using finish = finish_grads_kernel<Map, Element, real>;
  using sums = parameter_sums_kernel<Map, real>;

  prepared_rows<Map, Element, Operand, true> prepared{};
  device_rows<real> grads{};
  typename finish::Params finish_params{};
  typename sums::Params sums_params{};
  bool finished = false;  // by the sweep

  void lay_out(device_arena& arena, Map const& map, role side, tensor_view<Element const, 4> const& x,
               tensor_view<Element, 4> const& grad_x, device_shape const& shape, gradient_parts const& from) {
    std::int64_t const batch = x.extents[0];
    std::int64_t const heads = x.extents[1];
    std::int64_t const time = x.extents[2];
    std::int64_t const dim = Map::head_dim;
    prepared.lay_out(arena, map, side, x);
    int const members = from.by_query_head ? shape.group() : 1;
    finished = from.sweeps > 0 && from.tiles == 1 && members == 1;
    std::int64_t const grad_heads = from.by_query_head ? shape.heads : heads;
    std::int64_t const numbers = batch * grad_heads * time * dim;
    grads = contiguous_rows(finished ? nullptr : arena.take<real>(from.tiles * numbers), grad_heads, time, dim);
    if constexpr (Map::all_heads) {  // the rows of a token behind each other
      grads.head_stride = dim;
      grads.time_stride = heads * dim;
    }
    std::int64_t const parts = finished ? from.sweeps : finish::parts(batch * time);
    std::int64_t const sizes = heads * Map::gradient_size;
    real* const partials = arena.take<real>(parts * sizes);
    real* const totals = arena.take<real>(sizes);
    finish_params = {map,
                     side,
                     batch,
                     time,
                     static_cast<int>(heads),
                     {rows_of(x), rows_of(grad_x)},
                     grads,
                     partials,
                     prepared.params.scratch,
                     0};
    finish_params.tiles = from.tiles;
    finish_params.tile_stride = numbers;
    finish_params.members = members;
    if (from.by_query_head) {
      finish_params.head_step = shape.query_head(1, 0) - shape.query_head(0, 0);
      finish_params.member_step = shape.query_head(0, 1) - shape.query_head(0, 0);
    }
    sums_params = {partials, totals, parts, static_cast<int>(heads), 0};
  }
  void run_finish(simt::stream_t stream) const {
    if (!finished) {
      launch_items<finish>(stream, finish_params, "backward");
    }
    if constexpr (Map::gradient_size > 0) {
      launch_items<sums>(stream, sums_params, "backward");
    }
  }
};

/// What forward() was given, without its outputs.
template <class Attention>
typename Attention::forward_args forward_args_of(typename Attention::backward_args const& args) noexcept {
  typename Attention::forward_args same{};
  same.q = args.q;
  same.k = args.k;
  same.v = args.v;
  same.initial_state = args.initial_state;
  same.causal = args.causal;
  same.cu_seqlens = args.cu_seqlens;
  same.heads = args.heads;
  return same;
}

/// Pairs meet one by one within pieces of `piece_tokens` tokens; the states carry the rest.
template <class Selector, class Attention>
class backward_call {
 public:
  using map = typename Attention::map_type;
  using normalizer = typename Attention::normalizer_type;
  using element = typename Attention::element_type;
  using operand = gradient_operand_of<Selector, element>;
  using operand_element = typename operand::element;
  using real = typename operand::real;
  using args_type = typename Attention::backward_args;
  using scaled_grads = scaled_grads_kernel<normalizer, element, operand>;
  template <bool OfKeys>
  using row_grads = row_grads_kernel<map, element, operand, OfKeys>;
  template <bool OfQueries>
  using sums = states_kernel<map, element, operand, true, OfQueries>;
  template <bool OfKeys>
  using fused_grads = fused_grads_kernel<map, element, operand, OfKeys>;
  using value_grads = outputs_kernel<map, unnormalized, element, operand, true, true>;
  using again = forward_call<Selector, Attention>;
  using value_sums = value_sums_kernel<element, real>;
  static constexpr bool can_fuse = FusedGradients<map, operand>;

  backward_call(device_arena arena, Attention const& attn, args_type const& args, int arch, forward_form const& form)
      : attn_(attn), args_(args), shape_(shape_of(args)), arena_(arena), arch_(arch), piece_tokens_(form.piece_tokens) {
    std::int64_t const rows = shape_.batch * shape_.heads * shape_.time;
    std::int64_t const row_size = round_up(shape_.value_dim, 8);
    value_tiles_ = (std::max)(1, (shape_.value_dim + value_grads::value_tile - 1) / value_grads::value_tile);
    std::int64_t sweeps = 0;
    if constexpr (can_fuse) {
      fused_ = form.fused && shape_.causal && shape_.heads > 0;
      if (fused_) {
        constexpr int tile = fused_grads<true>::value_tile;
        grad_tiles_ = (std::max)(1, (shape_.value_dim + tile - 1) / tile);
        sweeps = shape_.pieces(Selector::segment_tokens(arch));
      }
    }
    cut_ = phase_cut::of(Selector{}, shape_, fused_ ? Selector::segment_tokens(arch) : piece_tokens_,
                         value_grads::queries, arch, map::feature_dim);
    sums_ = !cut_.one_piece || args.grad_initial_state.present();
    q_.lay_out(arena_, attn.map, role::query, args.q, args.grad_q, shape_, {grad_tiles_, false, sweeps});
    k_.lay_out(arena_, attn.map, role::key, args.k, args.grad_k, shape_, {grad_tiles_, fused_, sweeps});
    if (fused_ && shape_.group() > 1) {
      real* const parts = arena_.take<real>(rows * shape_.value_dim);
      value_parts_ = contiguous_rows(parts, shape_.heads, shape_.time, shape_.value_dim);
    }
    scaled_ = contiguous_rows(arena_.take<operand_element>(rows * row_size), shape_.heads, shape_.time, row_size);
    if constexpr (normalizer::needs_denominator) {
      weights_ = contiguous_rows(arena_.take<real>(rows), shape_.heads, shape_.time, 1);
      saved_ = args.out.present() || rows == 0;
      if (!saved_) {
        out_ = arena_.take<element>(rows * shape_.value_dim);
        denominator_ = arena_.take<real>(rows);
        again_bytes_ = repeated(device_arena{}).bytes();
        again_ = arena_.take<std::byte>(static_cast<std::int64_t>(again_bytes_));
      }
    }
    if (sums_) {
      pieces_ = take_states<real>(arena_, shape_.pieces(cut_.state_tokens), shape_, map::feature_dim);
    }
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.taken(); }

  void run(simt::stream_t stream) const {
    q_.prepared.run(stream, where);
    k_.prepared.run(stream, where);
    scale_grads(stream);
    if (!cut_.one_piece) {
      launch_items<sums<false>>(stream,
                                {attn_.map,
                                 shape_,
                                 k_.prepared.rows,
                                 rows_of(args_.v),
                                 pieces_,
                                 !shape_.causal,
                                 cut_.state_tokens,
                                 value_tiles_,
                                 0,
                                 {}},
                                where);
      run_scan_of(stream, shape_, pieces_, states_of(args_.initial_state), {}, cut_.state_tokens, map::feature_dim,
                  scan_result::before_piece, where);
    }
    run_rows<false>(stream, q_, k_, read_only(scaled_), rows_of(args_.v),
                    cut_.one_piece ? states_of(args_.initial_state) : read_only(pieces_));
    // What begins with the gradient of the final state, before that of the initial one replaces it in the same memory.
    if (cut_.one_piece) {
      run_keys_and_values(stream, states_of(args_.grad_final_state));
    }
    if (sums_) {
      device_states<real> const initial = states_of(args_.grad_initial_state);
      launch_items<sums<true>>(
          stream,
          {attn_.map, shape_, q_.prepared.rows, read_only(scaled_), pieces_, needs_all_pieces(shape_, initial),
           cut_.state_tokens, value_tiles_, 0, read_only(weights_)},
          where);
      run_scan_of(stream, shape_, pieces_, states_of(args_.grad_final_state), initial, cut_.state_tokens,
                  map::feature_dim, scan_result::after_piece, where);
    }
    if (!cut_.one_piece) {
      run_keys_and_values(stream, read_only(pieces_));
    }
    q_.run_finish(stream);
    k_.run_finish(stream);
    if constexpr (map::gradient_size > 0) {
      launch_items<accumulate_kernel<map, real>>(
          stream,
          {attn_.map, args_.grad_map, q_.sums_params.sums, k_.sums_params.sums, shape_.heads, shape_.kv_heads, 0},
          where);
    }
  }

 private:
  static constexpr char const* where = "backward";

  /// forward() once more, for outputs and denominators.
  again repeated(device_arena arena) const noexcept {
    typename Attention::forward_args args = forward_args_of<Attention>(args_);
    args.out = view_bhtd(out_, shape_.batch, std::int64_t{shape_.heads}, shape_.time, std::int64_t{shape_.value_dim});
    args.denominator = view_bht(denominator_, shape_.batch, std::int64_t{shape_.heads}, shape_.time);
    return again(arena, attn_, args, arch_, piece_tokens_);
  }

  void scale_grads(simt::stream_t stream) const {
    device_rows<element const> out = rows_of(args_.out);
    device_rows<real const> denominator = rows_of(args_.denominator);
    if (normalizer::needs_denominator && !saved_) {
      auto const forward = repeated(device_arena{again_, again_bytes_});
      forward.run(stream);
      out = contiguous_rows<element const>(out_, shape_.heads, shape_.time, shape_.value_dim);
      denominator = contiguous_rows<real const>(denominator_, shape_.heads, shape_.time, 1);
    }
    launch_items<scaled_grads>(stream,
                               {attn_.normalizer, shape_.batch, shape_.time, shape_.heads, shape_.value_dim,
                                rows_of(args_.grad_out), out, denominator, scaled_, weights_, 0},
                               where);
  }

  /// The gradients by the prepared rows of one side; in a sweep of keys, those by values too.
  template <bool OfKeys, class X, class Y, class XValues, class YValues>
  void run_rows(simt::stream_t stream, X const& x, Y const& y, XValues const& x_values, YValues const& y_values,
                device_states<real const> const& states) const {
    if constexpr (can_fuse) {
      if (fused_) {
        launch_items<fused_grads<OfKeys>>(
            stream,
            {attn_.map, shape_, x.prepared.rows, y.prepared.rows, x_values, y_values, read_only(weights_), x.finished,
             x.finish_params.caller, x.finish_params.partials, x.grads, x.finish_params.tile_stride,
             rows_of(args_.grad_v), value_parts_, states, cut_.one_piece, cut_.state_tokens, grad_tiles_, 0},
            where);
        return;
      }
    }
    launch_items<row_grads<OfKeys>>(
        stream,
        {attn_.map, shape_, x.prepared.rows, y.prepared.rows, x_values, y_values, read_only(weights_), x.grads, states,
         cut_.pair_tokens, cut_.one_piece, cut_.pairs, 0},
        where);
  }
  void run_keys_and_values(simt::stream_t stream, device_states<real const> const& states) const {
    run_rows<true>(stream, k_, q_, rows_of(args_.v), read_only(scaled_), states);
    if (value_parts_.data != nullptr) {
      launch_items<value_sums>(stream, {shape_, read_only(value_parts_), rows_of(args_.grad_v), 0}, where);
    }
    if (!fused_) {
      launch_items<value_grads>(stream,
                                {attn_.map,
                                 unnormalized{},
                                 shape_,
                                 k_.prepared.rows,
                                 q_.prepared.rows,
                                 read_only(scaled_),
                                 rows_of(args_.grad_v),
                                 {},
                                 states,
                                 cut_.pair_tokens,
                                 cut_.one_piece,
                                 cut_.pairs,
                                 value_tiles_,
                                 0},
                                where);
    }
  }

  Attention attn_;
  args_type args_;
  device_shape shape_;
  device_arena arena_;
  int arch_;
  std::int64_t piece_tokens_;  // of forward() in phases
  phase_cut cut_{};
  int value_tiles_ = 1;
  int grad_tiles_ = 1;  // parts of the gradients by rows
  bool fused_ = false;
  bool sums_ = false;
  bool saved_ = true;
  differentiated_rows<map, element, operand> q_{};
  differentiated_rows<map, element, operand> k_{};
  device_rows<operand_element> scaled_{};
  device_rows<real> weights_{};
  device_rows<real> value_parts_{};
  element* out_ = nullptr;  // these four: if forward() is repeated
  real* denominator_ = nullptr;
  std::byte* again_ = nullptr;
  std::size_t again_bytes_ = 0;
  device_states<real> pieces_{};
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
