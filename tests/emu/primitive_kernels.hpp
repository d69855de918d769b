// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels that each apply a few device primitives to given data, one source for the executor and for a GPU. What they
// must give is in primitive_cases.hpp.
#ifndef LINATTN_TESTS_EMU_PRIMITIVE_KERNELS_HPP
#define LINATTN_TESTS_EMU_PRIMITIVE_KERNELS_HPP

#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn_test {

namespace simt = linattn::simt;

struct no_shared {};

struct index_kernel {
  static constexpr int kThreads = 64, kMinBlocks = 1;
  struct Params {
    unsigned* out;  // 14 numbers a thread
  };
  using Shared = no_shared;

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    simt::extent3 const all[4] = {simt::thread_idx(), simt::block_idx(), simt::block_dim(), simt::grid_dim()};
    unsigned const block = all[1].x + all[3].x * (all[1].y + all[3].y * all[1].z);
    unsigned* const out = p.out + (block * all[2].x + all[0].x) * 14;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 4; ++i) {
      out[3 * i] = all[i].x;
      out[3 * i + 1] = all[i].y;
      out[3 * i + 2] = all[i].z;
    }
    out[12] = static_cast<unsigned>(simt::lane());
    out[13] = static_cast<unsigned>(simt::warp());
  }
};

template <class T>
struct shuffle_kernel {
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    T const* in;
    T* out;  // (5, 32)
  };
  using Shared = no_shared;

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    int const lane = simt::lane();
    T const value = p.in[lane];
    p.out[lane] = simt::shuffle(value, (5 * lane + 3) % 32);
    p.out[32 + lane] = simt::shuffle_xor(value, 9);
    p.out[64 + lane] = simt::shuffle_up(value, 3);
    p.out[96 + lane] = simt::shuffle_down(value, 5);
    p.out[128 + lane] = value;
    if (lane < 16) {
      p.out[128 + lane] = simt::shuffle_xor(value, 8, 0xffffU);
    }
  }
};

struct ballot_kernel {
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    unsigned* out;  // (2, 32)
  };
  using Shared = no_shared;

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    int const lane = simt::lane();
    p.out[lane] = simt::ballot(lane % 3 == 0);
    p.out[32 + lane] = 0;
    if (lane >= 20) {
      p.out[32 + lane] = simt::ballot(lane % 2 == 0, 0xfff00000U);
    }
  }
};

/// N 8x8 matrices of 16-bit elements, as they are, transposed on the way, and transposed in the registers.
template <int N>
struct ldmatrix_kernel {
  static constexpr std::size_t kMatrices = N;
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    std::uint16_t const* in;  // (8 N, 8)
    std::uint32_t* out;       // (3, N, 32)
  };
  struct Shared {
    alignas(16) std::uint16_t rows[8 * kMatrices][24];
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const lane = simt::lane();
    for (int i = lane; i < 64 * N; i += 32) {
      s.rows[i / 8][i % 8] = p.in[i];
    }
    simt::block_sync();
    std::uint32_t plain[kMatrices];
    std::uint32_t transposed[kMatrices];
    simt::ldmatrix(plain, simt::to_shared(&s.rows[lane % (8 * N)][0]));
    simt::ldmatrix_trans(transposed, simt::to_shared(&s.rows[lane % (8 * N)][0]));
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < N; ++i) {
      p.out[i * 32 + lane] = plain[i];
      p.out[(N + i) * 32 + lane] = transposed[i];
      p.out[(2 * N + i) * 32 + lane] = simt::movmatrix_trans(plain[i]);
    }
  }
};

enum class multiplication { bf16, f16, tf32 };

/// c += a b for a (16, K), b (K, 8), c (16, 8): K is 16 for the 16-bit types and 8 for tf32, given as float's bits.
template <class Word, int Kind>
struct mma_kernel {
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    Word const* a;
    Word const* b;
    float* c;
  };
  using Shared = no_shared;

  static LINATTN_DEVICE std::uint32_t pair(Word low, Word high) {
    return static_cast<std::uint32_t>(low) | static_cast<std::uint32_t>(high) << 16U;
  }

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    float* const rows[2] = {p.c + g * 8 + 2 * t, p.c + (g + 8) * 8 + 2 * t};
    float c[4] = {rows[0][0], rows[0][1], rows[1][0], rows[1][1]};
    if constexpr (Kind == static_cast<int>(multiplication::tf32)) {
      std::uint32_t const a[4] = {p.a[g * 8 + t], p.a[(g + 8) * 8 + t], p.a[g * 8 + t + 4], p.a[(g + 8) * 8 + t + 4]};
      simt::mma_m16n8k8_tf32(c, a, p.b[t * 8 + g], p.b[(t + 4) * 8 + g]);
    } else {
      Word const* const top = p.a + g * 16 + 2 * t;
      Word const* const bottom = top + 8 * 16;
      Word const* const b = p.b + 2 * t * 8 + g;
      std::uint32_t const a[4] = {pair(top[0], top[1]), pair(bottom[0], bottom[1]), pair(top[8], top[9]),
                                  pair(bottom[8], bottom[9])};
      if constexpr (Kind == static_cast<int>(multiplication::bf16)) {
        simt::mma_m16n8k16_bf16(c, a, pair(b[0], b[8]), pair(b[64], b[72]));
      } else {
        simt::mma_m16n8k16_f16(c, a, pair(b[0], b[8]), pair(b[64], b[72]));
      }
    }
    rows[0][0] = c[0];
    rows[0][1] = c[1];
    rows[1][0] = c[2];
    rows[1][1] = c[3];
  }
};

/// c += a b for a (8, 4), b (4, 8), c (8, 8).
struct mma_f64_kernel {
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    double const* a;
    double const* b;
    double* c;
  };
  using Shared = no_shared;

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    double* const row = p.c + g * 8 + 2 * t;
    double c[2] = {row[0], row[1]};
    simt::mma_m8n8k4_f64(c, p.a[g * 4 + t], p.b[t * 8 + g]);
    row[0] = c[0];
    row[1] = c[1];
  }
};

/// Each lane copies Bytes bytes in two groups: the first with all bytes, the second with lane % (Bytes + 1) of them.
template <int Bytes>
struct copy_kernel {
  static constexpr std::size_t kBytes = Bytes;
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    std::uint8_t const* in;  // (32, Bytes)
    std::uint8_t* out;       // (2, 32, Bytes)
  };
  struct Shared {
    alignas(16) std::uint8_t bytes[2][32][kBytes];
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const lane = simt::lane();
    simt::copy_async<Bytes>(simt::to_shared(s.bytes[0][lane]), p.in + lane * Bytes, Bytes);
    simt::copy_async_commit();
    simt::copy_async<Bytes>(simt::to_shared(s.bytes[1][lane]), p.in + lane * Bytes, lane % (Bytes + 1));
    simt::copy_async_commit();
    simt::copy_async_wait<1>();
    simt::warp_sync();
    int const other = (lane + 7) % 32;
    for (int i = 0; i < Bytes; ++i) {
      p.out[other * Bytes + i] = s.bytes[0][other][i];
    }
    simt::copy_async_wait<0>();
    simt::block_sync();
    for (int i = 0; i < Bytes; ++i) {
      p.out[(32 + other) * Bytes + i] = s.bytes[1][other][i];
    }
  }
};

/// Device memory to shared memory and back, one word a lane.
template <class T>
struct load_store_kernel {
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct Params {
    T const* in;
    T* out;  // (2, 32)
  };
  struct Shared {
    alignas(16) T words[32];
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const lane = simt::lane();
    simt::store(&s.words[lane], simt::load(p.in + lane));
    simt::warp_sync();
    simt::store(p.out + lane, simt::load(&s.words[31 - lane]));
    if constexpr (sizeof(T) >= 2) {
      simt::store(p.out + 32 + lane, simt::load_readonly(p.in + lane));
    } else {
      simt::store(p.out + 32 + lane, simt::load(p.in + lane));
    }
  }
};

struct number_kernel {
  static constexpr int kThreads = 128, kMinBlocks = 1;
  static constexpr int kResults = 10;
  struct Params {
    float const* x;
    float const* y;
    std::uint32_t* out;  // (kResults, count)
    int count;
  };
  using Shared = no_shared;

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    for (int i = static_cast<int>(simt::thread_idx().x); i < p.count; i += kThreads) {
      float const x = p.x[i];
      float const y = p.y[i];
      std::uint32_t const bf16_pair = simt::pack_bf16x2(x, y);
      std::uint32_t const f16_pair = simt::pack_f16x2(x, y);
      std::uint32_t const results[kResults] = {
          bf16_pair,
          f16_pair,
          simt::multiply_bf16x2(bf16_pair, simt::pack_bf16x2(y, y)),
          simt::multiply_f16x2(f16_pair, simt::pack_f16x2(y, y)),
          simt::bits_of(simt::low_bf16(bf16_pair)),
          simt::bits_of(simt::high_bf16(bf16_pair)),
          simt::bits_of(simt::low_f16(f16_pair)),
          simt::bits_of(simt::high_f16(f16_pair)),
          simt::to_tf32(x),
          simt::bits_of(simt::fast_divide(x, y)),
      };
      LINATTN_SIMT_UNROLL
      for (int r = 0; r < kResults; ++r) {
        p.out[r * p.count + i] = results[r];
      }
    }
  }
};

/// Warp 0 hands three rows to warp 1 through one buffer, then both meet; 60 KiB of shared memory.
struct barrier_kernel {
  static constexpr int kThreads = 64, kMinBlocks = 1;
  struct Params {
    int* out;  // (4, 32)
  };
  struct Shared {
    int row[32];
    int large[15000];
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    int const lane = simt::lane();
    for (int i = 0; i < 3; ++i) {
      if (simt::warp() == 0) {
        s.row[lane] = 100 * i + lane;
      }
      simt::named_sync(1, 64);
      if (simt::warp() == 1) {
        p.out[32 * i + lane] = s.row[31 - lane];
      }
      simt::named_sync(2, 64);
    }
    s.large[15000 - 1 - static_cast<int>(simt::thread_idx().x)] = lane + 1000 * simt::warp();
    simt::block_sync();
    if (simt::warp() == 0) {
      p.out[96 + lane] = s.large[15000 - 64 + lane];  // of warp 1
    }
  }
};

struct reduce_kernel {
  static constexpr int kThreads = 128, kMinBlocks = 1;
  struct Params {
    float const* in;
    float* out;  // (5, 128)
  };
  struct Shared {
    float scratch[4];
    int offset_probe[8];
  };

  static LINATTN_DEVICE void run(Params const& p, Shared& s) {
    auto const thread = static_cast<int>(simt::thread_idx().x);
    float const value = p.in[thread];
    p.out[thread] = simt::warp_sum(value);
    p.out[128 + thread] = simt::warp_max(value);
    p.out[256 + thread] = simt::warp_inclusive_sum(value);
    float const sum = simt::block_sum(value, s.scratch);
    p.out[384 + thread] = sum + simt::block_sum(1.0F, s.scratch);
    p.out[512 + thread] = static_cast<float>(simt::to_shared(&s.offset_probe[5]) - simt::to_shared(&s.offset_probe[0]));
  }
};

/// A struct of whole words, one that is none, and an empty one.
struct anew_kernel {
  static constexpr int kThreads = 32, kMinBlocks = 1;
  struct words {
    double wide;
    int narrow;
    short pair[2];
  };
  struct odd {
    std::uint8_t bytes[3];
  };
  struct empty {};
  struct Params {
    words in;
    odd rest;
    double* out;  // (7, 32)
  };
  using Shared = no_shared;

  static LINATTN_DEVICE void run(Params const& p, Shared&) {
    int const lane = simt::lane();
    static_cast<void>(simt::anew(empty{}, p.out));
    for (int i = 0; i < 7; ++i) {
      words const same = simt::anew(p.in, p.out + i);
      odd const rest = simt::anew(p.rest, p.out + i);
      double const numbers[7] = {same.wide,
                                 static_cast<double>(same.narrow),
                                 static_cast<double>(same.pair[0]),
                                 static_cast<double>(same.pair[1]),
                                 static_cast<double>(rest.bytes[0]),
                                 static_cast<double>(rest.bytes[1]),
                                 static_cast<double>(rest.bytes[2])};
      p.out[32 * i + lane] = numbers[i] * lane;
    }
  }
};

}  // namespace linattn_test

#endif
