// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Small kernels with one defect each, and the same kernels without it.
#ifndef LINATTN_TESTS_EMU_DEFECT_KERNELS_HPP
#define LINATTN_TESTS_EMU_DEFECT_KERNELS_HPP

#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn_test::defects {

namespace simt = linattn::simt;

/// What every one of them is launched with: 64 threads, 2 blocks.
struct arguments {
  float const* in;    // 256 numbers, initialised, read-only
  float* out;         // 256 numbers, not initialised
  float* sums;        // 256 numbers, initialised
  float const* host;  // 256 numbers that are not in device memory
  float const* gone;  // 256 numbers in device memory that was released
};

struct two_warps {
  static constexpr int kThreads = 64, kMinBlocks = 1;
  using Params = arguments;
  struct Shared {
    alignas(16) float tile[2][64];
    alignas(16) std::uint16_t rows[32][24];
    float* pointer;
  };

  static LINATTN_DEVICE int thread() { return static_cast<int>(simt::thread_idx().x); }
  static LINATTN_DEVICE int global_thread() { return static_cast<int>(simt::block_idx().x) * kThreads + thread(); }
  static LINATTN_DEVICE bool upper_lane() { return simt::lane() >= 16; }
};

// --- barriers
// ---------------------------------------------------------------------------------------------------------
template <bool Planted>
struct no_barrier_before_reading : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    s.tile[0][t] = p.in[t];
    if constexpr (!Planted) {
      simt::block_sync();
    }
    p.out[global_thread()] = s.tile[0][63 - t];
  }
};

template <bool Planted>
struct no_barrier_before_overwriting : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    float sum = 0.0F;
    for (int i = 0; i < 3; ++i) {
      s.tile[0][t] = p.in[64 * i + t];
      simt::block_sync();
      sum += s.tile[0][63 - t];
      if constexpr (!Planted) {
        simt::block_sync();
      }
    }
    p.out[global_thread()] = sum;
  }
};

template <bool Planted>
struct no_warp_sync : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    s.tile[0][t] = p.in[t];
    if constexpr (!Planted) {
      simt::warp_sync();
    }
    p.out[global_thread()] = s.tile[0][t ^ 1];
  }
};

template <bool Planted>
struct warp_sync_for_block_sync : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    s.tile[0][t] = p.in[t];
    Planted ? simt::warp_sync() : simt::block_sync();
    p.out[global_thread()] = s.tile[0][t ^ 32];
  }
};

template <bool Planted>
struct all_write_one_byte : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    if (Planted || thread() == 0) {
      s.tile[1][0] = p.in[0];
    }
    simt::block_sync();
    p.out[global_thread()] = s.tile[1][0];
  }
};

template <bool Planted>
struct barrier_in_a_branch : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    s.tile[0][t] = p.in[t];
    if (!Planted || simt::warp() == 0) {
      simt::block_sync();
    }
    p.out[global_thread()] = s.tile[0][t];
  }
};

template <bool Planted>
struct return_before_a_barrier : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    if (Planted && t >= 60) {
      return;
    }
    s.tile[0][t] = p.in[t];
    simt::block_sync();
    p.out[global_thread()] = s.tile[0][t];
  }
};

template <bool Planted>
struct named_barrier_for_too_many : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    s.tile[0][t] = p.in[t];
    simt::named_sync(1 + simt::warp(), Planted ? 64 : 32);
    p.out[global_thread()] = s.tile[0][t ^ 1];
  }
};

template <bool Planted>
struct named_barrier_with_two_counts : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const t = thread();
    s.tile[0][t] = p.in[t];
    simt::named_sync(1, Planted && simt::warp() == 1 ? 96 : 64);
    p.out[global_thread()] = s.tile[0][63 - t];
  }
};

template <bool Planted>
struct no_barrier_that_says_empty : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const lane = simt::lane();
    for (int i = 0; i < 3; ++i) {
      if (simt::warp() == 0) {
        s.tile[0][lane] = p.in[32 * i + lane];
      }
      simt::named_sync(1, 64);
      if (simt::warp() == 1) {
        p.out[global_thread()] = s.tile[0][31 - lane];
      }
      if constexpr (!Planted) {
        simt::named_sync(2, 64);
      }
    }
  }
};

// --- asynchronous copies
// ----------------------------------------------------------------------------------------------
/// Copies 16 bytes a thread of the first warp into tile `stage`.
LINATTN_DEVICE void copy_tile(two_warps::Shared& s, int stage, float const* from) {
  if (simt::warp() == 0 && simt::lane() < 16) {
    simt::copy_async<16>(simt::to_shared(&s.tile[stage][4 * simt::lane()]), from + 4 * simt::lane(), 16);
  }
}

enum class copy_defect { no_wait, no_commit, one_group_left, no_barrier, late_wait };

template <copy_defect Defect, bool Planted>
struct copy_into_tile : two_warps {
  static constexpr bool has(copy_defect defect) { return Planted && Defect == defect; }

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    copy_tile(s, 0, p.in);
    if constexpr (!has(copy_defect::no_commit)) {
      simt::copy_async_commit();
    }
    if constexpr (has(copy_defect::one_group_left)) {
      simt::copy_async_wait<1>();
    } else if constexpr (!has(copy_defect::no_wait) && !has(copy_defect::late_wait)) {
      simt::copy_async_wait<0>();
    }
    if constexpr (!has(copy_defect::no_barrier)) {
      simt::block_sync();
    }
    float const value = s.tile[0][thread()];
    if constexpr (has(copy_defect::late_wait)) {
      simt::copy_async_wait<0>();
    }
    p.out[global_thread()] = value;
  }
};

template <bool Planted>
using copy_without_wait = copy_into_tile<copy_defect::no_wait, Planted>;
template <bool Planted>
using copy_without_commit = copy_into_tile<copy_defect::no_commit, Planted>;
template <bool Planted>
using copy_with_a_group_left = copy_into_tile<copy_defect::one_group_left, Planted>;
template <bool Planted>
using copy_without_barrier = copy_into_tile<copy_defect::no_barrier, Planted>;
template <bool Planted>
using copy_read_before_wait = copy_into_tile<copy_defect::late_wait, Planted>;

template <bool Planted>
struct refill_before_the_barrier : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    float sum = 0.0F;
    copy_tile(s, 0, p.in);
    simt::copy_async_commit();
    for (int i = 0; i < 3; ++i) {
      if constexpr (Planted) {
        copy_tile(s, (i + 1) % 2, p.in + 64);  // others may still read what the last round left there
      }
      simt::copy_async_commit();
      simt::copy_async_wait<0>();
      simt::block_sync();
      if constexpr (!Planted) {
        copy_tile(s, (i + 1) % 2, p.in + 64);
      }
      sum += s.tile[i % 2][63 - thread()];
    }
    simt::copy_async_commit();
    simt::copy_async_wait<0>();
    p.out[global_thread()] = sum;
  }
};

template <bool Planted>
struct write_under_a_copy : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    copy_tile(s, 0, p.in);
    simt::copy_async_commit();
    if constexpr (!Planted) {
      simt::copy_async_wait<0>();
      simt::block_sync();
    }
    s.tile[0][thread()] = 1.0F;
    simt::copy_async_wait<0>();
    p.out[global_thread()] = s.tile[0][thread()];
  }
};

template <bool Planted>
struct return_with_a_copy : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    copy_tile(s, 0, p.in);
    simt::copy_async_commit();
    if constexpr (!Planted) {
      simt::copy_async_wait<0>();
    }
  }
};

template <bool Planted>
struct return_with_an_uncommitted_copy : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    copy_tile(s, 0, p.in);
    if constexpr (!Planted) {
      simt::copy_async_commit();
    }
    simt::copy_async_wait<0>();
  }
};

template <bool Planted>
struct copy_past_the_end : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const first = 240 + 4 * simt::lane();
    int const bytes = Planted || first < 256 ? 16 : 0;
    if (simt::lane() < 16 && simt::warp() == 0) {
      simt::copy_async<16>(simt::to_shared(&s.tile[0][4 * simt::lane()]), bytes != 0 ? p.in + first : p.in, bytes);
    }
    simt::copy_async_commit();
    simt::copy_async_wait<0>();
  }
};

template <bool Planted>
struct copy_from_shared : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    s.tile[1][thread()] = 1.0F;
    simt::block_sync();
    copy_tile(s, 0, Planted ? s.tile[1] : p.in);
    simt::copy_async_commit();
    simt::copy_async_wait<0>();
  }
};

template <bool Planted>
struct misaligned_copy : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    if (thread() == 0) {
      simt::copy_async<16>(simt::to_shared(&s.tile[0][Planted ? 2 : 4]), p.in, 16);
    }
    simt::copy_async_commit();
    simt::copy_async_wait<0>();
  }
};

template <bool Planted>
struct source_overwritten_under_a_copy : two_warps {
  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    float* const own = p.sums + 64 * simt::block_idx().x;
    copy_tile(s, 0, own);
    simt::copy_async_commit();
    if constexpr (!Planted) {
      simt::copy_async_wait<0>();
    }
    simt::block_sync();
    own[63 - thread()] = 1.0F;
    simt::copy_async_wait<0>();
  }
};

}  // namespace linattn_test::defects

#endif
