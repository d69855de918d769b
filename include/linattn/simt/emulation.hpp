// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the emulated primitives call. Only declarations: a program that launches emulated kernels links a host executor
// (tests/emu is one). Each function is called by one emulated device thread, unless it says otherwise.
#ifndef LINATTN_SIMT_EMULATION_HPP
#define LINATTN_SIMT_EMULATION_HPP

#include <linattn/simt/types.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::emu {

using simt::extent3;

// --- called by the host
// -----------------------------------------------------------------------------------------------
/// Runs body(params, shared memory of the block) once for each thread of the grid; returns when all are done.
/// Throws on the first fault of the kernel.
struct kernel_call {
  void (*body)(void const* params, void* shared);
  void const* params;
  std::size_t params_bytes;
  std::size_t shared_bytes;
  int threads;
};
void launch(extent3 grid, kernel_call const& call);

/// Device memory. A kernel may touch nothing else, besides its stack, its parameters and its shared memory.
void* allocate(std::size_t bytes);
void release(void* p);
void set_zero(void* p, std::size_t bytes);

/// What simt::architecture says of every kernel; 0: the query fails.
int architecture();

// --- called by device threads
// -----------------------------------------------------------------------------------------
extent3 thread_idx();
extent3 block_idx();
extent3 block_dim();
extent3 grid_dim();
std::uint32_t to_shared(void const* p);

void block_sync();
void warp_sync(unsigned mask);
void named_sync(int id, int threads);

enum class shuffle_kind { index, exclusive_or, up, down };
std::uint64_t shuffle(std::uint64_t bits, shuffle_kind kind, int argument, unsigned mask);
unsigned ballot(bool vote, unsigned mask);

enum class mma_kind { m16n8k16_bf16, m16n8k16_f16, m16n8k8_tf32 };
void ldmatrix(std::uint32_t* r, int count, bool transposed, std::uint32_t row);
std::uint32_t movmatrix_trans(std::uint32_t r);
void mma(mma_kind kind, float* c, std::uint32_t const* a, std::uint32_t b0, std::uint32_t b1);
void mma_m8n8k4_f64(double* c, double a, double b);

void copy_async(std::uint32_t dst, void const* global_src, int bytes, int src_bytes);
void copy_async_commit();
void copy_async_wait(int groups);
void load(void const* p, void* value, std::size_t bytes);
void load_readonly(void const* p, void* value, std::size_t bytes);
void store(void* p, void const* value, std::size_t bytes);

}  // namespace linattn::inline LINATTN_ABI::emu

#endif
