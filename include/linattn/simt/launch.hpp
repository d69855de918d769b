// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// launch<Kernel>: the only place with a __global__ function, dynamic shared memory and a launch; architecture<Kernel>:
// what would be launched. A kernel is a struct:
//   Params       trivially copyable, passed by value
//   Shared       the block's shared memory
//   kThreads, kMinBlocks                       threads of a block; blocks that an SM should hold
//   static LINATTN_DEVICE void run(Params const&, Shared&)
#ifndef LINATTN_SIMT_LAUNCH_HPP
#define LINATTN_SIMT_LAUNCH_HPP

#include <linattn/simt/emulation.hpp>
#include <linattn/simt/runtime.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <type_traits>

namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS {

namespace detail {

inline constexpr std::size_t most_shared_bytes = std::size_t{227} * 1024;  // of a block on sm_90 and sm_100
inline constexpr std::size_t shared_alignment = 128;

template <class Kernel>
inline constexpr std::size_t shared_bytes = std::is_empty_v<typename Kernel::Shared> ? 0
                                                                                     : sizeof(typename Kernel::Shared);

template <class Kernel>
constexpr void check_kernel() {
  static_assert(shared_bytes<Kernel> <= most_shared_bytes,
                "linattn::simt::launch: got a Shared of more than 227 KiB; 227 KiB a block at most (sm_80: 163 KiB, "
                "sm_86: 99 KiB); choose smaller tiles or fewer stages");
  static_assert(alignof(typename Kernel::Shared) <= shared_alignment,
                "linattn::simt::launch: got a Shared aligned to more than 128 bytes; up to 128; lower its alignas");
  static_assert(std::is_trivially_copyable_v<typename Kernel::Params> && sizeof(typename Kernel::Params) <= 4096,
                "linattn::simt::launch: got Params that cannot be a kernel's argument; trivially copyable, 4 KiB at "
                "most; pass plain views and numbers");
  static_assert(Kernel::kThreads % warp_size == 0 && Kernel::kThreads > 0 && Kernel::kThreads <= 1024,
                "linattn::simt::launch: got a kThreads that is no whole number of warps; 32 to 1024 in steps of 32; "
                "round it up");
  static_assert(Kernel::kMinBlocks >= 1 && Kernel::kMinBlocks <= 32,
                "linattn::simt::launch: got a kMinBlocks that no SM can hold; 1 to 32; say 1 if unsure");
}

#if defined(LINATTN_SIMT_PTX)
template <class Kernel>
LINATTN_SIMT_HIDDEN __global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocks)
    kernel_entry(__grid_constant__ typename Kernel::Params const params) {
  extern __shared__ __align__(128) unsigned char linattn_shared_memory[];
  Kernel::run(params, *reinterpret_cast<typename Kernel::Shared*>(linattn_shared_memory));
}
#else
template <class Kernel>
inline void kernel_entry(void const* params, void* shared) {
  Kernel::run(*static_cast<typename Kernel::Params const*>(params), *static_cast<typename Kernel::Shared*>(shared));
}
#endif

}  // namespace detail

/// The architecture that the device code of `Kernel` was compiled for, of all that the program holds that which runs on
/// the current device: 10 * major + minor of its PTX. Unchanged where CUDA refuses to say.
/// Sync      never synchronises; legal while a stream is captured, since nothing is enqueued.
/// Throws    nothing; the status says whether CUDA refused.
#if defined(LINATTN_SIMT_PTX)
template <class Kernel>
LINATTN_SIMT_HIDDEN inline status architecture(int& arch) noexcept {
  cudaFuncAttributes attributes{};
  cudaError_t const refused = cudaFuncGetAttributes(&attributes, detail::kernel_entry<Kernel>);
  if (refused != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // or the next call would report this one
    return status(refused);
  }
  arch = attributes.ptxVersion;
  return {};
}
#else
template <class Kernel>
LINATTN_SIMT_HIDDEN inline status architecture(int& arch) noexcept {
  if (emu::architecture() == 0) {
    return status("no kernel image is available for execution on the device");
  }
  arch = emu::architecture();
  return {};
}
#endif

/// Starts `Kernel` on `grid` blocks.
/// Sync      asynchronous on the stream; never synchronises. Emulated: returns when done.
/// Throws    nothing; the status says whether the launch was refused. Emulated: throws on a fault of the kernel.
#if defined(LINATTN_SIMT_PTX)
template <class Kernel>
LINATTN_SIMT_HIDDEN inline status launch(extent3 grid, typename Kernel::Params const& params, stream_t stream) {
  detail::check_kernel<Kernel>();
  constexpr std::size_t bytes = detail::shared_bytes<Kernel>;
  if constexpr (bytes > std::size_t{48} * 1024) {
    cudaError_t const refused = cudaFuncSetAttribute(
        detail::kernel_entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
    if (refused != cudaSuccess) {
      static_cast<void>(cudaGetLastError());  // or the next call would report this one
      return status(refused);
    }
  }
  detail::kernel_entry<Kernel><<<dim3(grid.x, grid.y, grid.z), Kernel::kThreads, bytes, stream>>>(params);
  return status(cudaGetLastError());
}
#else
template <class Kernel>
LINATTN_SIMT_HIDDEN inline status launch(extent3 grid, typename Kernel::Params const& params, stream_t /*stream*/) {
  detail::check_kernel<Kernel>();
  emu::launch(grid,
              {detail::kernel_entry<Kernel>, &params, sizeof(params), detail::shared_bytes<Kernel>, Kernel::kThreads});
  return {};
}
#endif

}  // namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS

#endif
