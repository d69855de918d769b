// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// More kernels with a defect: accesses of memory that is not theirs, and lanes of a warp that lose each other.
#ifndef LINATTN_TESTS_EMU_DEFECT_KERNELS_MEMORY_HPP
#define LINATTN_TESTS_EMU_DEFECT_KERNELS_MEMORY_HPP

#include "emu/defect_kernels.hpp"

namespace linattn_test::defects {

// --- bounds, alignment, initialisation
// --------------------------------------------------------------------------------
template <bool Planted>
struct shared_past_the_end : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    float* const tile = s.tile[0];
    int const beyond = Planted && thread() == 63 ? static_cast<int>(sizeof(Shared) / sizeof(float)) - 63 : 0;
    tile[thread() + beyond] = p.in[thread()];
  }
};

template <bool Planted>
struct shared_far_past_the_end : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    float* const tile = s.tile[0];
    tile[thread() + (Planted ? 20000 : 0)] = p.in[thread()];
  }
};

template <bool Planted>
struct read_past_the_end : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.out[global_thread()] = p.in[4 * thread() + (Planted ? 4 : 3)];
  }
};

template <bool Planted>
struct vector_read_past_the_end : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    auto const* const vectors = reinterpret_cast<simt::vector16 const*>(p.in);
    simt::vector16 const value = simt::load(vectors + thread() + (Planted ? 1 : 0));
    p.out[global_thread()] = simt::float_from_bits(value.w[0]);
  }
};

template <bool Planted>
struct store_before_the_begin : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    simt::store(p.out + global_thread() - (Planted ? 1 : 0), 1.0F);
  }
};

template <bool Planted>
struct wrong_batch_stride : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.out[static_cast<int>(simt::block_idx().x) * (Planted ? 1 << 20 : 64) + thread()] = 1.0F;
  }
};

template <bool Planted>
struct use_after_release : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.out[global_thread()] = (Planted ? p.gone : p.in)[thread()];
  }
};

template <bool Planted>
struct reads_host_memory : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.out[global_thread()] = (Planted ? p.host : p.in)[thread()];
  }
};

template <bool Planted>
struct reads_another_stack : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    float mine[2] = {p.in[thread()], p.in[1]};
    if (thread() == 0) {
      s.pointer = mine;
    }
    simt::block_sync();
    p.out[global_thread()] = *(Planted ? s.pointer : &mine[thread() % 2]);
    simt::block_sync();
  }
};

template <bool Planted>
struct writes_its_parameters : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float const value = p.in[thread()];
    if constexpr (Planted) {
      const_cast<Params&>(p).gone = nullptr;
    }
    p.out[global_thread()] = value;
  }
};

template <bool Planted>
struct writes_its_input : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    (Planted ? const_cast<float*>(p.in) : p.out)[global_thread()] = 0.0F;
  }
};

template <bool Planted>
struct misaligned_vector : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float* const row = p.out + 4 * thread() + (Planted ? 2 : 0);
    if (simt::block_idx().x == 0 && thread() < 63) {
      simt::store(reinterpret_cast<simt::vector16*>(row), simt::vector16{{1, 2, 3, 4}});
    }
  }
};

template <bool Planted>
struct misaligned_shared_vector : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    s.tile[0][thread()] = p.in[thread()];
    simt::block_sync();
    auto const* const pair = reinterpret_cast<double const*>(&s.tile[0][2 * simt::lane() % 32 + (Planted ? 1 : 0)]);
    p.out[global_thread()] = simt::load(pair) < 0.0 ? 1.0F : 2.0F;
  }
};

template <bool Planted>
struct misaligned_matrix_row : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    for (int i = thread(); i < 32 * 24; i += kThreads) {
      s.rows[i / 24][i % 24] = 0;
    }
    simt::block_sync();
    std::uint32_t r[4];
    simt::ldmatrix(r, simt::to_shared(&s.rows[simt::lane()][Planted ? 4 : 8]));
    p.out[global_thread()] = simt::low_bf16(r[0]);
  }
};

template <bool Planted>
struct tail_rows_left_out : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    for (int i = thread(); i < (Planted ? 30 : 32) * 24; i += kThreads) {
      s.rows[i / 24][i % 24] = 0;
    }
    simt::block_sync();
    std::uint32_t r[4];
    simt::ldmatrix_trans(r, simt::to_shared(&s.rows[simt::lane()][8]));
    p.out[global_thread()] = simt::low_bf16(r[3]);
  }
};

template <bool Planted>
struct shared_never_written : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    if (!Planted || thread() < 50) {
      s.tile[1][thread()] = p.in[thread()];
    }
    p.out[global_thread()] = s.tile[1][thread()];
  }
};

template <bool Planted>
struct output_read_before_written : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float const before = Planted ? p.out[global_thread()] : p.sums[global_thread()];
    p.out[global_thread()] = before + 1.0F;
  }
};

template <bool Planted>
struct endless_recursion : two_warps {
  static LINATTN_NEVER_INLINE float deeper(float x, int depth) {
    float volatile room[64];
    room[depth % 64] = x;
    return depth == 0 ? x : deeper(x, depth - 1) + room[depth % 64];
  }
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.out[global_thread()] = deeper(p.in[0], Planted ? 1 << 20 : 3);
  }
};

// --- between blocks
// ---------------------------------------------------------------------------------------------------
template <bool Planted>
struct plain_sum_over_blocks : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float* const sum = p.sums + (Planted ? thread() : global_thread());
    *sum += p.in[thread()];
  }
};

template <bool Planted>
struct blocks_write_the_same : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) { p.out[Planted ? thread() : global_thread()] = 1.0F; }
};

template <bool Planted>
struct reads_what_a_block_writes : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float const value = p.sums[Planted ? global_thread() ^ 64 : 128 + thread()];
    p.sums[global_thread()] = value;
  }
};

template <bool Planted>
struct no_barrier_in_device_memory : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.sums[global_thread()] = p.in[thread()];
    if constexpr (!Planted) {
      simt::block_sync();
    }
    p.out[global_thread()] = p.sums[global_thread() ^ 33];
  }
};

template <bool Planted>
struct readonly_load_of_own_output : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.sums[global_thread()] = 1.0F;
    p.out[global_thread()] = simt::load_readonly((Planted ? p.sums : p.in) + global_thread());
  }
};

// --- warps
// ------------------------------------------------------------------------------------------------------------
template <bool Planted>
struct half_a_warp_shuffles : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float value = p.in[thread()];
    if (!Planted || upper_lane()) {
      value = simt::shuffle_xor(value, 1);
    }
    p.out[global_thread()] = value;
  }
};

template <bool Planted>
struct different_shuffles : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float const value = p.in[thread()];
    float got = 0.0F;
    if (Planted && upper_lane()) {
      got = simt::shuffle_down(value, 1);
    } else {
      got = simt::shuffle_xor(value, 1);
    }
    p.out[global_thread()] = got;
  }
};

template <bool Planted>
struct mask_without_the_caller : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    p.out[global_thread()] = simt::shuffle(p.in[thread()], 0, Planted ? 0x7fffffffU : simt::all_lanes);
  }
};

template <bool Planted>
struct overlapping_masks : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    unsigned const lower = Planted ? 0x0001ffffU : 0x0000ffffU;
    p.out[global_thread()] = simt::ballot(true, upper_lane() ? 0xffff0000U : lower) != 0 ? 1.0F : 0.0F;
  }
};

template <bool Planted>
struct half_a_warp_multiplies : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    float c[4] = {};
    std::uint32_t const a[4] = {};
    if (!Planted || upper_lane()) {
      simt::mma_m16n8k16_bf16(c, a, 0, 0);
    }
    p.out[global_thread()] = c[0] + p.in[thread()];
  }
};

template <bool Planted>
struct half_a_warp_loads_matrices : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    for (int i = thread(); i < 32 * 24; i += kThreads) {
      s.rows[i / 24][i % 24] = 0;
    }
    simt::block_sync();
    std::uint32_t r[2] = {};
    if (!Planted || !upper_lane()) {
      simt::ldmatrix(r, simt::to_shared(&s.rows[simt::lane() % 16][0]));
    }
    p.out[global_thread()] = simt::low_bf16(r[0]);
    simt::warp_sync();
  }
};

template <bool Planted>
struct lanes_return_before_a_vote : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& /*s*/) {
    if (Planted && simt::lane() == 5) {
      return;
    }
    p.out[global_thread()] = simt::ballot(true) != 0 ? 1.0F : 0.0F;
  }
};

}  // namespace linattn_test::defects

#endif
