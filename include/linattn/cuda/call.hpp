// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A verb's call as a row of launches: which kernels, on which memory, in which order. The same code lays out the
// workspace when it is only counted.
#ifndef LINATTN_CUDA_CALL_HPP
#define LINATTN_CUDA_CALL_HPP

#include <linattn/core/math.hpp>
#include <linattn/cuda/executor.hpp>
#include <linattn/cuda/kernel_outputs.hpp>
#include <linattn/cuda/kernel_prepare.hpp>
#include <linattn/cuda/kernel_recurrent.hpp>
#include <linattn/cuda/kernel_scan.hpp>
#include <linattn/cuda/kernel_states.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/simt/launch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// A block for each item of the kernel; more than a grid holds are launched in turn.
template <class Kernel>
LINATTN_SIMT_HIDDEN inline void launch_items(simt::stream_t stream, typename Kernel::Params params, char const* where) {
  constexpr std::int64_t most = 0x7fffffff;
  std::int64_t const items = Kernel::items(params);
  for (std::int64_t first = 0; first < items; first += most) {
    params.first_item = first;
    auto const blocks = static_cast<unsigned>((std::min)(items - first, most));
    raise_unless_ok(simt::launch<Kernel>({blocks, 1, 1}, params, stream), where, Kernel::name);
  }
}

/// How a call is carried out: fused, if the map can be; else in pieces of so many tokens.
struct forward_form {
  bool fused = false;
  std::int64_t piece_tokens = 0;
};

/// Prepared once, in memory, for all kernels that follow.
template <class Map>
inline constexpr bool prepares_before = Map::all_heads || Map::head_dim > longest_row_in_registers;

/// States in the workspace, one a unit and key head, feature by feature.
template <class Real>
device_states<Real> take_states(device_arena& arena, std::int64_t units, device_shape const& shape, int features) {
  std::int64_t const head = std::int64_t{features} * shape.value_dim;
  device_states<Real> states;
  states.kv = arena.take<Real>(units * shape.kv_heads * head);
  states.k_sum = arena.take<Real>(units * shape.kv_heads * features);
  std::int64_t const kv[4] = {shape.kv_heads * head, head, shape.value_dim, 1};
  std::int64_t const k_sum[3] = {std::int64_t{shape.kv_heads} * features, features, 1};
  std::copy(kv, kv + 4, states.kv_strides);
  std::copy(k_sum, k_sum + 3, states.k_sum_strides);
  return states;
}

template <class T>
device_rows<T const> read_only(device_rows<T> const& rows) noexcept {
  return {rows.data, rows.batch_stride, rows.head_stride, rows.time_stride, rows.vectors};
}
template <class Real>
device_states<Real const> read_only(device_states<Real> const& states) noexcept {
  device_states<Real const> result;
  result.kv = states.kv;
  result.k_sum = states.k_sum;
  std::copy(states.kv_strides, states.kv_strides + 4, result.kv_strides);
  std::copy(states.k_sum_strides, states.k_sum_strides + 3, result.k_sum_strides);
  result.slots = states.slots;
  return result;
}

/// Rows of q or k as kernels read them: the caller's own or, if Before, prepared ones in the workspace.
template <class Map, class Element, class Operand, bool Before>
struct prepared_rows {
  static constexpr int padded_dim = round_up_to(Map::head_dim, 16);
  using element = std::conditional_t<Before, typename Operand::element, Element>;
  using kernel = prepare_kernel<Map, Element, Operand>;

  device_rows<element const> rows{};
  typename kernel::Params params{};

  void lay_out(device_arena& arena, Map const& map, role side, tensor_view<Element const, 4> const& x) {
    if constexpr (Before) {
      std::int64_t const heads = x.extents[1];
      std::int64_t const time = x.extents[2];
      auto* const to = arena.take<typename Operand::element>(x.extents[0] * heads * time * padded_dim);
      typename Operand::real* scratch = nullptr;
      if constexpr (Map::all_heads) {
        scratch = arena.take<typename Operand::real>(x.extents[0] * heads * time * Map::head_dim);
      }
      rows = {to, heads * time * padded_dim, time * padded_dim, padded_dim, true};
      params = {map, side, x.extents[0], time, static_cast<int>(heads), rows_of(x), to, scratch, 0};
    } else {
      rows = rows_of(x);
    }
  }
  void run(simt::stream_t stream, char const* where) const {
    if constexpr (Before) {
      launch_items<kernel>(stream, params, where);
    }
  }
};

/// Whether the whole sum of a sequence is asked for: in a state at its end, or by queries that see everything.
template <class Real>
bool needs_all_pieces(device_shape const& shape, device_states<Real> const& final) noexcept {
  return final.present() || !shape.causal;
}

/// From the sums of pieces to what goes before or after each piece, or to the whole if queries see everything; and to
/// the state at the other end.
template <class Real>
void run_scan_of(simt::stream_t stream, device_shape const& shape, device_states<Real> const& pieces,
                 device_states<Real const> const& initial, device_states<Real> const& final, std::int64_t piece_tokens,
                 int features, scan_result causal_result, char const* where) {
  using kernel = scan_kernel<Real>;
  std::int64_t const numbers = kernel::numbers_of(shape, features);
  launch_items<kernel>(
      stream,
      {shape, pieces, initial, final, piece_tokens, features, shape.causal ? causal_result : scan_result::whole,
       needs_all_pieces(shape, final), static_cast<int>((numbers + kernel::numbers - 1) / kernel::numbers), 0},
      where);
}

/// How a call in phases cuts sequences: pairs meet one by one within a piece, and the states carry the rest.
struct phase_cut {
  bool one_piece = true;          // a sequence: no states between pieces
  std::int64_t pair_tokens = 0;   // of a piece; `tile` divides it
  std::int64_t state_tokens = 0;  // of what states are summed over, also where one piece is all: a sum must not depend
                                  // on how long the rest of a packed batch is
  pairs_with pairs = pairs_with::piece_up_to_query;

  template <class Selector>
  static phase_cut of(Selector const&, device_shape const& shape, std::int64_t piece_tokens, int tile, int arch,
                      int feature_dim) noexcept {
    bool const endless = piece_tokens == (std::numeric_limits<std::int64_t>::max)();
    bool const one_piece = piece_tokens >= shape.time;
    return {one_piece, one_piece ? round_up((std::max)(shape.time, std::int64_t{1}), tile) : piece_tokens,
            endless ? Selector::chunk_tokens(arch, feature_dim) : piece_tokens,
            shape.causal ? pairs_with::piece_up_to_query : (one_piece ? pairs_with::sequence : pairs_with::nothing)};
  }
};

/// forward() with matrix units: the parallel form, or pieces of a sequence with states between them.
template <class Selector, class Attention>
class forward_call {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using operand = operand_of<Selector, map, element>;
  using real = typename operand::real;
  using args_type = typename Attention::forward_args;
  static constexpr bool before = prepares_before<map>;
  using states_pass = states_kernel<map, element, operand, before>;
  using outputs_pass = outputs_kernel<map, typename Attention::normalizer_type, element, operand, before>;

  /// Queries meet the keys of their own piece of `piece_tokens` tokens one by one; the states carry the rest.
  forward_call(device_arena arena, Attention const& attn, args_type const& args, int arch, std::int64_t piece_tokens)
      : attn_(attn), args_(args), shape_(shape_of(args)), arena_(arena) {
    value_tiles_ = (std::max)(1, (shape_.value_dim + outputs_pass::value_tile - 1) / outputs_pass::value_tile);
    cut_ = phase_cut::of(Selector{}, shape_, piece_tokens, outputs_pass::queries, arch, map::feature_dim);
    // One piece and no final state: nobody asks for sums. Else long sequences are summed in pieces all the same.
    sums_ = !cut_.one_piece || args.final_state.present();
    q_.lay_out(arena_, attn.map, role::query, args.q);
    k_.lay_out(arena_, attn.map, role::key, args.k);
    if (sums_) {
      pieces_ = take_states<real>(arena_, shape_.pieces(cut_.state_tokens), shape_, map::feature_dim);
    }
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.taken(); }

  void run(simt::stream_t stream) const {
    constexpr char const* where = "forward";
    q_.run(stream, where);
    k_.run(stream, where);
    if (cut_.one_piece) {  // before the final state replaces an initial one in the same memory
      run_outputs(stream, states_of(args_.initial_state));
    }
    if (sums_) {
      device_states<real> const final = states_of(args_.final_state);
      launch_items<states_pass>(stream,
                                {attn_.map, shape_, k_.rows, rows_of(args_.v), pieces_, needs_all_pieces(shape_, final),
                                 cut_.state_tokens, value_tiles_, 0},
                                where);
      run_scan_of(stream, shape_, pieces_, states_of(args_.initial_state), final, cut_.state_tokens, map::feature_dim,
                  scan_result::before_piece, where);
    }
    if (!cut_.one_piece) {
      run_outputs(stream, read_only(pieces_));
    }
  }

 private:
  void run_outputs(simt::stream_t stream, device_states<real const> const& states) const {
    launch_items<outputs_pass>(
        stream,
        {attn_.map, attn_.normalizer, shape_, q_.rows, k_.rows, rows_of(args_.v), rows_of(args_.out),
         rows_of(args_.denominator), states, cut_.pair_tokens, cut_.one_piece, cut_.pairs, value_tiles_, 0},
        "forward");
  }

  Attention attn_;
  args_type args_;
  device_shape shape_;
  device_arena arena_;
  int value_tiles_ = 1;
  phase_cut cut_{};
  bool sums_ = false;
  prepared_rows<map, element, operand, before> q_{};
  prepared_rows<map, element, operand, before> k_{};
  device_states<real> pieces_{};
};

/// Token by token: step(), and forward() in the recurrent form.
template <class Attention>
class recurrent_call {
 public:
  using map = typename Attention::map_type;
  using element = typename Attention::element_type;
  using real = accumulator_t<element>;
  static constexpr bool before = map::all_heads;  // a long row is no trouble here: it is prepared in shared memory
  using kernel = recurrent_kernel<map, typename Attention::normalizer_type, element, before>;

  recurrent_call(device_arena arena, Attention const& attn, typename Attention::forward_args const& args)
      : recurrent_call(arena, attn, args, 0) {
    params_.denominator = rows_of(args.denominator);
    params_.initial = states_of(args.initial_state);
    params_.states = states_of(args.final_state);
    params_.in_place = params_.initial.present() && params_.initial.kv == params_.states.kv &&
                       params_.initial.k_sum == params_.states.k_sum;
    if (!params_.states.present()) {
      params_.states = take_states<real>(arena_, params_.shape.sequences, params_.shape, map::feature_dim);
    }
  }
  recurrent_call(device_arena arena, Attention const& attn, typename Attention::state_type const& state,
                 typename Attention::step_args const& args)
      : recurrent_call(arena, attn, args, 0) {
    params_.states = states_of(state);
    params_.in_place = true;
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.taken(); }

  void run(simt::stream_t stream, char const* where) const {
    q_.run(stream, where);
    k_.run(stream, where);
    launch_items<kernel>(stream, params_, where);
  }

 private:
  template <class Args>
  recurrent_call(device_arena arena, Attention const& attn, Args const& args, int) : arena_(arena) {
    params_.map = attn.map;
    params_.normalizer = attn.normalizer;
    params_.shape = shape_of(args);
    params_.v = rows_of(args.v);
    params_.out = rows_of(args.out);
    q_.lay_out(arena_, attn.map, role::query, args.q);
    k_.lay_out(arena_, attn.map, role::key, args.k);
    params_.q = q_.rows;
    params_.k = k_.rows;
  }

  device_arena arena_;
  typename kernel::Params params_{};
  prepared_rows<map, element, operand_base::wide<real>, before> q_{};
  prepared_rows<map, element, operand_base::wide<real>, before> k_{};
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
