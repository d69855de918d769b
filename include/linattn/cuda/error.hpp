// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// cuda_error: what CUDA refused. Text: the kernel or the call, then CUDA's own words.
#ifndef LINATTN_CUDA_ERROR_HPP
#define LINATTN_CUDA_ERROR_HPP

#include <linattn/core/error.hpp>
#include <linattn/simt/runtime.hpp>

#include <stdexcept>

namespace linattn::inline LINATTN_ABI {

/// CUDA refused an allocation or a launch. Work that was enqueued before it stays enqueued.
class cuda_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail::inline LINATTN_SIMT_NS {

inline void raise_unless_ok(simt::status status, char const* where, char const* what) {
  if (!status.ok()) {
    diagnostic report(where);
    report.fail(what, " failed: ", status.text(), "; check the device and the stream");
    raise<cuda_error>(report.message());
  }
}

}  // namespace detail::inline LINATTN_SIMT_NS
}  // namespace linattn::inline LINATTN_ABI

#endif
