#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Show that the tests can fail: plant one bug at a time in a copy of the headers, and see the named test fail.

mutants.py [--compiler g++] [--only NUMBER ...] [--list]

Each mutant is (test, header, from, to): `from` occurs once in the header. The test runs on the sound headers first and
must pass there. Not a ctest: each mutant compiles its test anew. It prints one line a mutant and fails if one lives.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"

# Every engine feature, with as few types as possible: mutants are compiled over and over.
FAMILY = """
#include "support/registry.hpp"
namespace linattn_test {
template <class Visit>
void visit_mutant_family(Visit&& visit) {
  visit(map_tag<maps::taylor>{}, dims<5>, sum, recipe{"taylor", preparation::scaled, {1, 1, 0.5, 0}});
  visit(map_tag<maps::rebased_norm>{}, dims<3, 16>, sum,
        recipe{"rebased", preparation::layer_norm, {0, 0, 1, 0}, {true, true, 2, false}});
  visit(map_tag<maps::rebased_joint>{}, dims<8>, sum,
        recipe{"rebased over all heads", preparation::layer_norm_all_heads, {0, 0, 1, 0}, {true, true, 2, false}});
  visit(map_tag<maps::user_cubic>{}, dims<3, 5>, unnormalized,
        recipe{"user's cubic", preparation::as_is, {0, 0, 0, 1}, {}, true});
  visit(map_tag<maps::elu_plus_one>{}, dims<20>, sum, recipe{"elu_plus_one", preparation::elu_plus_one, {0, 1, 0, 0}});
#if defined(LINATTN_TEST_SELECTOR)  // of CUDA: four groups of warps share the features
  visit(map_tag<maps::rebased_norm>{}, dims<20>, sum,
        recipe{"rebased", preparation::layer_norm, {0, 0, 1, 0}, {true, true, 1, true}});
#endif
}
}
"""
SUPPORT = ["axes", "covering", "guarded_buffer", "oracle", "oracle_prepare", "run", "setup", "tensor", "doctest_main"]
# Tests that know variants by their tables: linked with the family above.
ENGINE_TESTS = {
    "conformance": ["conformance/conformance_test.cpp", "conformance/continuation_test.cpp"],
    "gradient": ["gradient/oracle_test.cpp", "gradient/block_test.cpp"],
    "fast": ["conformance/fast_test.cpp"],
    "bits": ["threads/bits_test.cpp"],
    "segments": ["threads/segments_test.cpp"],
}
# The same tests on CUDA kernels that the host executor runs.
CUDA_TESTS = {"cuda_forward": ["conformance/conformance_test.cpp"],
              "cuda_fused": ["conformance/conformance_test.cpp"], "cuda_gradient": ["gradient/oracle_test.cpp"],
              "cuda_sweep": ["gradient/oracle_test.cpp"], "cuda_backward": ["cuda/backward_test.cpp"],
              "cuda_chunks": ["cuda/backward_test.cpp"], "cuda_accuracy": ["cuda/accuracy_test.cpp"],
              "cuda_shapes": ["cuda/shapes_test.cpp"]}
CUDA_FLAGS = [f"-I{TESTS / 'cuda'}", "-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0"]
# Their tuning: in precise_pieces, a piece of a sweep has two chunks; by default one has all of the fused form.
CUDA_SELECTORS = {"cuda_chunks": "precise_pieces", "cuda_fused": "linattn::cuda_tuning"}
# Their element types, as bits in the order float, bf16, f16, double. Sums of parameters' gradients are sharp in double
# alone; f16 is swept.
CUDA_ELEMENTS = {"cuda_forward": 1, "cuda_fused": 4, "cuda_gradient": 9, "cuda_sweep": 4, "cuda_backward": 5,
                 "cuda_chunks": 5, "cuda_accuracy": 2, "cuda_shapes": 5}
# Tests that are one file.
FILE_TESTS = {
    "validate": ["core/validate_test.cpp"], "element": ["core/element_test.cpp"],
    "offsets": ["core/segments_test.cpp"], "math": ["core/math_test.cpp"],
    "dispatch": ["core/dispatch_test.cpp"], "tensor_view": ["core/tensor_view_test.cpp"],
    "polynomial_map": ["core/polynomial_map_test.cpp"], "rows": ["core/rows_test.cpp"],
    "state": ["state/view_test.cpp"], "cached": ["state/cached_test.cpp"],
    "reject_forward": ["reject/forward_test.cpp"], "reject_backward": ["reject/backward_test.cpp"],
}

CPU = "cpu/"
CUDA = "cuda/"
MUTANTS = [
    # --- pairs of tokens
    ("conformance", CPU + "tiles.hpp", "return {diagonal, pair_mask::none};", "return {diagonal + 1, pair_mask::none};"),
    ("gradient", CPU + "tiles.hpp", "return {-pair_mask::none, diagonal + 1};", "return {-pair_mask::none, diagonal};"),
    ("conformance", CPU + "lanes.hpp", "sum = multiply_add(weight, vector(extra[row]), sum);",
     "sum = multiply_add(weight, vector(extra[0]), weight);"),
    ("gradient", CPU + "lanes.hpp", "int const to = end + row - lane;", "int const to = end - lane;"),
    ("gradient", CPU + "lanes.hpp", "mask.apply(vector::load(grads + lane) * score_grad_of(map, s), row, lane)",
     "(vector::load(grads + lane) * score_grad_of(map, s))"),
    ("conformance", CPU + "pair_products.hpp", "p.band_last = diagonal + 1;", "p.band_last = diagonal;"),
    ("conformance", CPU + "tiles.hpp", "static_cast<int>(distance)) / tile_rows * tile_rows;",
     "static_cast<int>(distance));"),
    ("conformance", CPU + "microkernel.hpp", "row + static_cast<int>(Rows) - 1 + p.band_last",
     "row + p.band_last"),
    ("gradient", CPU + "pair_products.hpp", "  if (x.extra != nullptr) {\n    multiply<a_order::row_major",
     "  if (x.extra == &y.extra[0]) {\n    multiply<a_order::row_major"),
    # --- the state
    ("conformance", CPU + "state_products.hpp", "  state.zero = false;\n", "\n"),
    ("conformance", CPU + "state_products.hpp", "    for (; n < features; ++n) {\n      partial[0]",
     "    for (; n + 1 < features; ++n) {\n      partial[0]"),
    ("gradient", CPU + "state_products.hpp", "bool const with_sums = column == 0 && state.k_sum != nullptr;",
     "bool const with_sums = column == 1 && state.k_sum != nullptr;"),
    ("conformance", CPU + "pass.hpp", "? slot.kv[n * slot.feature_stride + at * slot.value_stride]",
     "? slot.kv[n * slot.feature_stride + at]"),
    ("conformance", CPU + "pass.hpp", "    slot.k_sum[n * slot.k_sum_stride] = k_sum[n];",
     "    slot.k_sum[n * slot.k_sum_stride] = k_sum[0];"),
    ("conformance", CPU + "problem.hpp", "      state.slots.empty() ? sequence :", "      sequence >= 0 ? sequence :"),
    ("conformance", CPU + "driver.hpp", "if (pass.wants_final_state() || (Pass::reversed ? from : to) != last) {",
     "if ((Pass::reversed ? from : to) != last) {"),
    ("conformance", CPU + "driver.hpp", "    m_.state.zero = slot.kv == nullptr && slot.k_sum == nullptr;\n    if",
     "    m_.state.zero = true;\n    if"),
    ("conformance", CPU + "driver.hpp", "      if (m_.state.zero) {\n        load_state", "      if (false) {\n        load_state"),
    # --- products of bf16 pairs
    ("fast", CPU + "bf16_pairs.hpp", "row + 1 < rows ? vector::load(from + stride + column) : vector(0.0F);",
     "vector::load(from + (row + 1 < rows ? stride : 0) + column);"),
    ("fast", CPU + "bf16_pairs.hpp", "bool const whole = column + vector::width < columns;", "bool const whole = false;"),
    ("fast", CPU + "state_products.hpp", "buffers.value_pairs, width, (last - first + 1) / 2});",
     "buffers.value_pairs, width, (last - first) / 2});"),
    # --- heads, sequences, strides
    ("conformance", CPU + "problem.hpp", "kv_head * group() + member : member * kv_heads + kv_head",
     "kv_head * group() + member : kv_head * group() + member"),
    ("conformance", CPU + "problem.hpp", "      return {0, offsets[n], offsets[n + 1]};",
     "      return {0, 0, offsets[n + 1]};"),
    ("conformance", CPU + "rows.hpp", "  int const filled = (std::min)(columns, target.channels - column);",
     "  int const filled = columns;"),
    # --- the forward pass
    ("conformance", CPU + "forward_pass.hpp",
     "    if (m_.y.count == static_cast<int>(count) && m_.y.begin == tokens_.begin + begin) {",
     "    if (m_.y.count == static_cast<int>(count)) {"),
    ("conformance", CPU + "value_sum.hpp", "state.zero ? 0 : map_.feature_dim;", "state.zero ? map_.feature_dim : 0;"),
    ("conformance", CPU + "value_sum.hpp", "stored_ ? values : nullptr,", "nullptr,"),
    ("conformance", CPU + "value_sum.hpp", "columns.begin + column + width <= to.channels;",
     "columns.begin + column <= to.channels;"),
    ("gradient", CPU + "value_sum.hpp", "      waiting_ = false;\n      first = last;", "      first = last;"),
    ("conformance", CPU + "lanes.hpp", "        vector const scaled = own * vector(static_cast<Real>(packed::product));",
     "        vector const scaled = own;"),
    ("gradient", CPU + "lanes.hpp", "        sums[i] = multiply_add(own, weight, sums[i]);", ""),
    ("conformance", CPU + "forward_pass.hpp", "    if (p_.denominator.present() && columns_.begin == 0) {",
     "    if (p_.denominator.present() && columns_.begin != 0) {"),
    ("conformance", "normalizer/sum.hpp", "detail::reciprocal(den + static_cast<T>(eps))", "detail::reciprocal(den)"),
    ("conformance", "feature/rebased.hpp", "x[i] = x[i] + T(betas.template at<real>(i));",
     "x[i] = x[i] - T(betas.template at<real>(i));"),
    ("conformance", CPU + "joint.hpp", "map.prepare_row(map.self, r, static_cast<int>(heads), rows);",
     "map.prepare_row(map.self, r, 1, rows);"),
    # --- token by token
    ("conformance", CPU + "decode.hpp", "read_columns<false, Vectors>(", "read_columns<true, Vectors>("),
    ("conformance", CPU + "decode.hpp", "    u.slot.k_sum[n * stride] += u.phi_k[n];",
     "    u.slot.k_sum[n * stride] = u.phi_k[n];"),
    ("conformance", CPU + "lanes.hpp", "j += vector::width) {  // what is too much", "j += 2 * vector::width) {  // what is too much"),
    ("conformance", CPU + "recurrent_call.hpp", "take_token(p, id, tokens.batch, t, own, buffers, true, false);",
     "take_token(p, id, tokens.batch, t, own, buffers, false, false);"),
    # --- backward
    ("gradient", CPU + "gradient_pass.hpp", "      tile.extra[t] = factors[2 * t + 1];",
     "      tile.extra[t] = factors[2 * t];"),
    ("gradient", CPU + "gradient_pass.hpp",
     "    for (int i = 0; i < p_.map.head_dim; ++i) {  // idle lanes add nothing to the parameters",
     "    for (int i = 0; i < 0; ++i) {"),
    ("gradient", CPU + "key_gradient_pass.hpp", "base::write_x_grads(role::key, id_.kv_head, p_.shape.group(), p_.grad_k);",
     "base::write_x_grads(role::query, id_.kv_head, p_.shape.group(), p_.grad_k);"),
    ("gradient", CPU + "key_gradient_pass.hpp", "base::placed(m_.y, begin, count) || member != placed_member_",
     "base::placed(m_.y, begin, count)"),
    ("gradient", CPU + "call.hpp", "segment) + std::int64_t{member} * sink.size);", "segment) + 0 * member);"),
    ("gradient", CPU + "key_gradient_pass.hpp", "begin + (at - begin) / y_step * y_step : begin;",
     "begin + ((at - begin) / y_step + 1) * y_step : begin;"),
    ("gradient", CPU + "key_gradient_pass.hpp", "m_.buffers, at > begin, query_grads(member, query));",
     "m_.buffers, false, query_grads(member, query));"),
    ("gradient", CPU + "key_gradient_pass.hpp", "base::save_partials(with_queries() ? 0 : keys,",
     "base::save_partials(keys,"),
    ("gradient", CPU + "key_gradient_pass.hpp", "std::ptrdiff_t{member} * whole_vectors",
     "std::ptrdiff_t{0 * member} * whole_vectors"),
    ("gradient", CPU + "pair_products.hpp", "    p.band_last = static_cast<int>(y.begin - x.begin) - range.first + 1;",
     "    p.band_last = static_cast<int>(y.begin - x.begin) - range.first;"),
    ("gradient", CPU + "pair_products.hpp", "                  (std::min)(x.count, range.last) - range.first};",
     "                  range.last - range.first};"),
    ("gradient", "feature/rebased.hpp", "grad[i] = (grad[i] - mean - norm.apply(x[i]) * along) * norm.rstd;",
     "grad[i] = (grad[i] - mean) * norm.rstd;"),
    ("gradient", "feature/rebased.hpp", "to(head, n % HeadDim) += static_cast<Parameter>(sum);",
     "to(head, n % HeadDim) = static_cast<Parameter>(sum);"),
    # --- segments of long sequences
    ("bits", CPU + "driver.hpp", "      kv[j] = before;", "      kv[j] = total[j];"),
    ("bits", CPU + "driver.hpp", "    m_.state.zero = zero;", "    m_.state.zero = true;"),
    ("bits", CPU + "driver.hpp",
     "        begin_segment(columns, followed && plan_.segments(length) > 1);\n", ""),
    ("bits", CPU + "driver.hpp", "std::transform(before, before + size, local, state, std::plus<>());",
     "std::copy(local, local + size, state);"),
    ("bits", CPU + "driver.hpp", "      if (count > 1) {", "      if (count > 2) {"),
    ("segments", CPU + "call.hpp", "segment < p.segments; ++segment", "segment < 1; ++segment"),
    # --- how rows are cut into register tiles
    ("rows", CPU + "microkernel.hpp",
     "return row < whole + almost ? whole + (row - whole) / (tile_rows - 1) * (tile_rows - 1) : whole + almost;",
     "return row;"),
    ("conformance", CPU + "tiles.hpp", "row_cut(x.count).tile_begin((std::max)(0, static_cast<int>(distance)));",
     "(std::max)(0, static_cast<int>(distance));"),
    # --- 16-bit rows; step through states in memory
    ("rows", CPU + "f16_vectors.hpp", "vcvtps2ph $0", "vcvtps2ph $1"),
    ("rows", CPU + "rows.hpp", "load_f16(row + i).store(to + i);", "load_f16(row).store(to + i);"),
    ("cached", CPU + "decode.hpp", "column += whole * width", "column += half * width"),
    # --- what needs no engine
    ("validate", "core/validate.hpp", "low_reach <= offset && offset + high_reach <= period",
     "low_reach <= offset + 1 && offset + high_reach <= period + 1"),
    ("validate", "core/validate.hpp", "    if (magnitude(view.strides[next]) < reach) {",
     "    if (magnitude(view.strides[next]) + 1 < reach) {"),
    ("element", "core/element.hpp", "bits + 0x7fffU + ((bits >> 16U) & 1U)", "bits + 0x8000U"),
    ("element", "core/element.hpp", "magnitude + 0xfffU + ((magnitude >> 13U) & 1U)", "magnitude + 0xfffU"),
    ("offsets", "core/segments.hpp", "      if ((*this)[n + 1] < (*this)[n]) {", "      if ((*this)[n + 1] < 0) {"),
    ("math", "core/math.hpp", "size_a > static_cast<std::uint64_t>(largest) / size_b",
     "size_a / 2 > static_cast<std::uint64_t>(largest) / size_b"),
    ("dispatch", "dispatch.hpp", "if (try_one(std::integral_constant<int, First>{}) ||", "if ("),
    ("tensor_view", "core/tensor_view.hpp", "{detail::saturating_multiply(time, row), channels, row, 1}",
     "{detail::saturating_multiply(time, row), row, channels, 1}"),
    ("polynomial_map", "core/concepts.hpp", "FeatureMap<M> && detail::KeepsPackedHooks<M> &&", "FeatureMap<M> &&"),
    ("state", "state.hpp", "feature_major ? value_dim : 1, feature_major ? 1 : features",
     "feature_major ? value_dim : 1, feature_major ? 1 : value_dim"),
    ("reject_forward", "validate.hpp",
     "        !detail::check_apart(report, out, kv_name, k_sum_name, args.initial_state) ||\n", ""),
    ("reject_backward", "validate.hpp", "  if (!detail::check_result(report, grad_q, queries,",
     "  if (!detail::check_result(report, grad_q, rows,"),
    # --- CUDA: backward
    ("cuda_gradient", CUDA + "kernel_scaled_grads.hpp", "dot * (p.normalizer.scale_grad(den) / scale)",
     "dot * p.normalizer.scale_grad(den)"),
    ("cuda_gradient", CUDA + "kernel_row_grads.hpp", "grad += s.weights[OfKeys ? column : row];",
     "grad += s.weights[row];"),
    ("cuda_gradient", CUDA + "kernel_row_grads.hpp", "column >= distance + row : column <= distance + row",
     "column > distance + row : column <= distance + row"),
    ("cuda_gradient", CUDA + "kernel_row_grads.hpp", "      if (!one_tile) {\n", "      if (column == 0) {\n"),
    ("cuda_gradient", CUDA + "kernel_row_grads.hpp", "      simt::block_sync();  // what is staged now has been read\n", ""),
    ("cuda_gradient", CUDA + "kernel_row_grads.hpp", "int const members = OfKeys ? p.shape.group() : 1;",
     "int const members = 1;"),
    ("cuda_gradient", CUDA + "kernel_row_grads.hpp", "d[i / 4][e] += weight * s.k_sum",
     "d[i / 4][e] += s.k_sum"),
    ("cuda_gradient", CUDA + "kernel_states.hpp", "int const members = OfQueries ? p.shape.group() : 1;",
     "int const members = 1;"),
    ("cuda_gradient", CUDA + "kernel_states.hpp", "ones[1] = Operand::pack(weights[8] * one, weights[9] * one);", ""),
    ("cuda_gradient", CUDA + "kernel_outputs.hpp", "Mirrored ? key >= last[e / 2]", "Mirrored ? key > last[e / 2]"),
    ("cuda_gradient", CUDA + "kernel_outputs.hpp", "int const members = Mirrored ? p.shape.group() : 1;",
     "int const members = 1;"),
    ("cuda_backward", CUDA + "problem.hpp", "sequence.end - begin > piece_tokens ? begin + piece_tokens : sequence.end",
     "sequence.end"),
    ("cuda_backward", CUDA + "kernel_states.hpp", "OfQueries ? piece.index == 0 : piece.last()", "piece.last()"),
    ("cuda_forward", CUDA + "kernel_scan.hpp", "p.all_pieces ? pieces : pieces - 1", "pieces"),
    ("cuda_backward", CUDA + "kernel_scan.hpp", "p.result == scan_result::after_piece ? pieces - 1 - piece : piece",
     "piece"),
    ("cuda_gradient", CUDA + "tile/feature_grads.hpp", "int const before = simt::lane() / 4 * 4 + (simt::lane() + 3) % 4;",
     "int const before = simt::lane() / 4 * 4 + (simt::lane() + 1) % 4;"),
    ("cuda_gradient", CUDA + "tile/feature_grads.hpp", "        turned[0][0] = turned[0][1] = real(0);\n", ""),
    ("cuda_gradient", CUDA + "tile/feature_grads.hpp", "multiply(by_b, turned[r], d[r + 3], half, from_b, from_a, r);",
     "multiply(by_b, turned[r], d[r + 3], half, from_b, from_b, r);"),
    ("cuda_gradient", CUDA + "tile/feature_grads.hpp", "first + n, s.features[row][n],", "n, s.features[row][n],"),
    ("cuda_gradient", CUDA + "tile/line_sums.hpp", "group < groups; ++group", "group < 1; ++group"),
    ("cuda_gradient", CUDA + "tile/line_sums.hpp", "line < count; line += groups", "line < groups; line += groups"),
    ("cuda_gradient", CUDA + "kernel_finish_grads.hpp", "head < p.kv_heads; ++head", "head < 1; ++head"),
    # --- CUDA: backward in one sweep, of 16-bit elements
    ("cuda_backward", CUDA + "tile/gradient_pairs.hpp", "sees = OfKeys ? of_y >= of_x : of_y <= of_x;",
     "sees = OfKeys ? of_y > of_x : of_y <= of_x;"),
    ("cuda_backward", CUDA + "kernel_fused_grads.hpp", "warp < warps; ++warp", "warp < warps - 1; ++warp"),
    ("cuda_backward", CUDA + "kernel_fused_grads.hpp", "(OfKeys ? steps - 1 - n : n) * step", "n * step"),
    ("cuda_backward", CUDA + "kernel_fused_grads.hpp", "bool const takes_state = !OfKeys || at.head",
     "bool const takes_state = OfKeys || at.head"),
    ("cuda_backward", CUDA + "kernel_fused_grads.hpp", "p.state_a_sequence ? piece.sequence.index : piece.unit",
     "piece.sequence.index"),
    ("cuda_backward", CUDA + "kernel_fused_grads.hpp", "(begin + first + row) / step",
     "(at.begin + begin + first + row) / step"),
    ("cuda_sweep", CUDA + "tile/gradient_pairs.hpp", "score[e] = counts ? map.score(score[e]) : real(0);",
     "score[e] = map.score(score[e]);"),
    ("cuda_chunks", CUDA + "kernel_fused_grads.hpp", "s.sums.add(s.shares[0], row_shares, count);",
     "s.sums.clear();\n        s.sums.add(s.shares[0], row_shares, count);"),
    ("cuda_sweep", CUDA + "kernel_fused_grads.hpp", "s.sums.add(s.shares[0], row_shares, count);",
     "s.sums.add(s.shares[0], row_shares, chunk);"),
    ("cuda_sweep", CUDA + "kernel_fused_grads.hpp", "    if (row < count) {\n", "    if (row < chunk) {\n"),
    ("cuda_sweep", CUDA + "kernel_fused_grads.hpp", "(piece.unit * p.shape.heads + head)",
     "(piece.index * p.shape.heads + head)"),
    ("cuda_sweep", CUDA + "kernel_fused_grads.hpp", "      s.sums.clear();\n", ""),
    ("cuda_accuracy", CUDA + "kernel_fused_grads.hpp", "s.add(values, from / step, value_warp());",
     "s.add(values, 0, value_warp());"),
    ("cuda_sweep", CUDA + "kernel_fused_grads.hpp", "write_values(p, s, begin + first + row, left, values);\n    }\n    word",
     "write_values(p, s, begin + first + row, step, values);\n    }\n    word"),
    ("cuda_sweep", CUDA + "kernel_value_sums.hpp", "member < p.shape.group()", "member < 1"),
    ("cuda_sweep", CUDA + "backward_call.hpp", "from.tiles == 1 && members == 1;", "from.tiles == 1;"),
    ("cuda_sweep", CUDA + "backward_call.hpp", "finished = from.sweeps > 0 && from.tiles == 1 &&",
     "finished = from.sweeps > 0 &&"),
    ("cuda_accuracy", CUDA + "tile/group_rows.hpp", "f.constant = Operand::pack(one, one);",
     "f.constant = Operand::pack(one, real(0));"),
    ("cuda_sweep", CUDA + "tile/gradient_state.hpp", "Operand::transpose(Operand::pack(kv[m][v][2], kv[m][v][3]))",
     "Operand::pack(kv[m][v][2], kv[m][v][3])"),
    ("cuda_backward", CUDA + "tile/gradient_state.hpp", "back[e / 2][e % 2] = simt::shuffle(back[e / 2][e % 2], before);",
     "back[e / 2][e % 2] = simt::shuffle(back[e / 2][e % 2], (before + 1) % 32);"),
    ("cuda_backward", CUDA + "tile/gradient_state.hpp", "rows[i] = Weighed ? Operand::multiply(keys.once[i], weights[i / 2]) : keys.once[i];",
     "rows[i] = keys.once[i];"),
    ("cuda_backward", CUDA + "tile/register_sums.hpp", "grads[n][e / 2][e % 2] += 2 * weights", "grads[n][e / 2][e % 2] += weights"),
    ("cuda_backward", CUDA + "kernel_finish_grads.hpp", "part / p.tiles * p.member_step", "part * p.member_step"),
    # --- CUDA: forward
    ("cuda_forward", CUDA + "kernel_scan.hpp", "store_all(at, slot(piece), sum);", "store_all(at, slot(piece), own);"),
    ("cuda_forward", CUDA + "kernel_outputs.hpp", "key < count && sees", "sees"),
    ("cuda_forward", CUDA + "tile/register_sums.hpp", "h < linear_halves", "h < 1"),
    ("cuda_fused", CUDA + "kernel_fused.hpp", "publish(s, stage ^ 1, state);", "publish(s, stage, state);"),
    ("cuda_forward", CUDA + "kernel_fused.hpp", "key < row; key += step", "key + step < row; key += step"),
    ("cuda_forward", CUDA + "kernel_fused.hpp", "s.counts[stage] = state.sums.count;", "s.counts[stage] = real(0);"),
    ("cuda_forward", CUDA + "tile/step_outputs.hpp", "8 * n + 2 * t + e % 2 <= g + e / 2 * 8",
     "8 * n + 2 * t + e % 2 < g + e / 2 * 8"),
    ("cuda_forward", CUDA + "tile/step_outputs.hpp", "place.vectors && place.columns >= 16;", "place.vectors;"),
    ("cuda_forward", CUDA + "tile/packed_state.hpp", "packed.w[2 * n + 1] = state.operand(n, 1);",
     "packed.w[2 * n + 1] = state.operand(n, 0);"),
    ("cuda_forward", CUDA + "tile/group_rows.hpp", "linear[o.a / 2 * 4 + 2 * i + o.a % 2]", "linear[2 * i + o.a % 2]"),
    # --- CUDA: token by token
    ("cuda_shapes", CUDA + "tile/state_share.hpp", "begin.columns > 0 && n * groups < begin.left ? 16 : 0",
     "begin.columns > width && n * groups < begin.left ? 16 : 0"),
    ("cuda_shapes", CUDA + "tile/state_share.hpp", "+ tile * states.kv_strides[3])", ")"),
    ("cuda_shapes", CUDA + "tile/state_share.hpp", "return along_features(states) ? 1 : pieces;",
     "return pieces;"),
    ("cuda_shapes", CUDA + "kernel_recurrent.hpp", "if (!last && tile == 0) {", "if (false) {"),
]


class Builder:
    def __init__(self, compiler, work):
        self.compiler, self.work = compiler, work
        (work / "family.hpp").write_text(FAMILY)
        self.support = {}
        self.executor = []

    def compile(self, source, include, output, *flags):
        command = [self.compiler, "-std=c++20", "-O1", "-march=native", f"-I{include}", f"-I{TESTS}", *flags, "-c",
                   str(source), "-o", str(output)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def build_support(self, tests):
        """What mutants share: the oracle, the harness, the host executor and the tests, from the sound headers."""
        sources = [TESTS / "support" / f"{name}.cpp" for name in SUPPORT]
        for test in tests:
            sources += [TESTS / name for name in {**ENGINE_TESTS, **CUDA_TESTS}.get(test, [])]
        if CUDA_TESTS.keys() & tests:
            self.executor = sorted(set((TESTS / "emu").glob("*.cpp")) - set((TESTS / "emu").glob("*_test.cpp")))
            self.executor.append(TESTS / "cuda" / "device_mirror.cpp")
            sources += self.executor
        outputs = {source: self.work / ("_".join(source.relative_to(TESTS).parts) + ".o") for source in sources}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in pool.map(lambda item: self.compile(item[0], ROOT / "include", item[1], f"-I{TESTS / 'cuda'}"),
                                 outputs.items()):
                if done.returncode != 0:
                    sys.exit(done.stdout)
        self.support = outputs

    def run(self, test, include, folder):
        """'' if the test passes, else what it printed."""
        folder.mkdir(parents=True, exist_ok=True)
        objects = []
        if test in ENGINE_TESTS:
            built = self.compile(TESTS / "support" / "variants.cpp", include, folder / "variants.o", "-include",
                                 str(self.work / "family.hpp"), "-DLINATTN_TEST_FAMILY=visit_mutant_family",
                                 "-DLINATTN_TEST_SANITIZED=1")   # fewer types
            names = [TESTS / "support" / f"{name}.cpp" for name in SUPPORT] + [TESTS / n for n in ENGINE_TESTS[test]]
            objects = [folder / "variants.o"] + [self.support[name] for name in names]
        elif test in CUDA_TESTS:
            built = self.compile(TESTS / "cuda" / "variants.cpp", include, folder / "variants.o", "-include",
                                 str(self.work / "family.hpp"), "-DLINATTN_TEST_FAMILY=visit_mutant_family",
                                 f"-DLINATTN_TEST_ELEMENTS={CUDA_ELEMENTS[test]}",
                                 f"-DLINATTN_TEST_SELECTOR={CUDA_SELECTORS.get(test, 'small_pieces')}", *CUDA_FLAGS)
            names = [TESTS / "support" / f"{name}.cpp" for name in SUPPORT] + [TESTS / n for n in CUDA_TESTS[test]]
            objects = [folder / "variants.o"] + [self.support[name] for name in names + self.executor]
        else:
            (name,) = FILE_TESTS[test]
            built = self.compile(TESTS / name, include, folder / "test.o")
            objects = [folder / "test.o", self.support[TESTS / "support" / "doctest_main.cpp"]]
        if built.returncode != 0:
            return "does not compile:\n" + built.stdout
        program = folder / "test"
        linked = subprocess.run([self.compiler, *map(str, objects), "-o", str(program), "-pthread", "-ldl"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if linked.returncode != 0:
            sys.exit(linked.stdout)
        try:
            done = subprocess.run([str(program), "--abort-after=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return "runs for more than 300 s"
        return "" if done.returncode == 0 else done.stdout or f"exit code {done.returncode}"


def plant(work, number, header, old, new):
    """The include folder of mutant `number`: symbolic links to the sound headers, and one header that is changed."""
    include = work / f"mutant{number}" / "include"
    text = (ROOT / "include" / "linattn" / header).read_text()
    if text.count(old) != 1:
        sys.exit(f"mutant {number}: {header} holds {text.count(old)} times: {old}")
    for path in (ROOT / "include" / "linattn").rglob("*"):
        if path.is_file():
            link = include / path.relative_to(ROOT / "include")
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(path, link)
    target = include / "linattn" / header
    target.unlink()
    target.write_text(text.replace(old, new))
    return include


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--only", type=int, nargs="+")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        for number, (test, header, old, new) in enumerate(MUTANTS):
            print(f"{number:2}  {test}: {header}: {old.strip()!r} -> {new.strip()!r}")
        return
    chosen = arguments.only or range(len(MUTANTS))
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        builder = Builder(arguments.compiler, work)
        tests = dict.fromkeys(MUTANTS[number][0] for number in chosen)
        builder.build_support(tests.keys())
        for test in tests:
            said = builder.run(test, ROOT / "include", work / f"sound_{test}")
            if said:
                sys.exit(f"{test} fails on the sound headers:\n{said[-3000:]}")
            print(f"sound: {test} passes", flush=True)

        def one(number):
            test, header, old, new = MUTANTS[number]
            said = builder.run(test, plant(work, number, header, old, new), work / f"mutant{number}" / "build")
            return number, f"{test}, {header}: {new.strip().splitlines()[0] if new.strip() else 'line removed'}", said

        lived = 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for number, title, said in pool.map(one, chosen):
                refused = said.startswith("does not compile")
                if refused and "static assertion" not in said and "static_assert" not in said:
                    sys.exit(f"mutant {number} is no C++:\n{said[-3000:]}")
                lived += not said
                how = "LIVES" if not said else "refused by a static_assert" if refused else "caught"
                print(f"{number:2} {how}: {title}", flush=True)
    sys.exit(f"{lived} of {len(chosen)} mutants live" if lived else 0)


if __name__ == "__main__":
    main()
