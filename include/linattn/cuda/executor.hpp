// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// cuda_executor: the stream on which CUDA work is enqueued, and whose memory it works in.
#ifndef LINATTN_CUDA_EXECUTOR_HPP
#define LINATTN_CUDA_EXECUTOR_HPP

#include <linattn/core/arena.hpp>
#include <linattn/cuda/error.hpp>
#include <linattn/simt/runtime.hpp>
#include <linattn/tuning/cuda.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace linattn::inline LINATTN_ABI {
inline namespace LINATTN_SIMT_NS {

/// Enqueues on a CUDA stream: asynchronous, never synchronises, can be captured in a graph. All memory behind the views
/// is the device's, and so are cu_seqlens, slot indices and the parameters of maps; they must stay alive until the work is
/// done. Selector: see tuning/cuda.hpp.
template <class Selector = cuda_tuning>
struct cuda_executor {
  using is_executor = void;
  using selector = Selector;
  static constexpr bool reads_host_memory = false;

  simt::stream_t stream{};
  std::span<std::byte> workspace{};  // of the device, at least workspace_bytes(...); otherwise allocated on the stream
};

}  // namespace LINATTN_SIMT_NS

namespace detail::inline LINATTN_SIMT_NS {

/// What cudaMalloc aligns to, too.
inline constexpr std::size_t device_alignment = 256;

using device_arena = basic_arena<device_alignment>;

/// The working memory of one call: the executor's workspace if it is large enough, else allocated and released in the
/// stream's order.
class device_memory {
 public:
  template <class Selector>
  device_memory(cuda_executor<Selector> const& exec, std::size_t bytes) : stream_(exec.stream), bytes_(bytes) {
    if (bytes == 0) {
      return;
    }
    void* begin = exec.workspace.data();
    std::size_t space = exec.workspace.size();
    if (exec.workspace.empty() || std::align(device_alignment, bytes, begin, space) == nullptr) {
      raise_unless_ok(simt::allocate(&owned_, bytes, stream_), "cuda_executor", "allocating the workspace");
      begin = owned_;
    }
    begin_ = static_cast<std::byte*>(begin);
  }
  device_memory(device_memory const&) = delete;
  device_memory& operator=(device_memory const&) = delete;
  ~device_memory() {
    if (owned_ != nullptr) {
      static_cast<void>(simt::release(owned_, stream_));  // the next call on the stream reports what is wrong with it
    }
  }

  [[nodiscard]] device_arena arena() const noexcept { return {begin_, bytes_}; }

 private:
  simt::stream_t stream_;
  std::size_t bytes_;
  void* owned_ = nullptr;
  std::byte* begin_ = nullptr;
};

}  // namespace detail::inline LINATTN_SIMT_NS
}  // namespace linattn::inline LINATTN_ABI

#endif
