// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packed sequences of different lengths (varlen): where each one begins and ends on the time axis.
#ifndef LINATTN_CORE_SEGMENTS_HPP
#define LINATTN_CORE_SEGMENTS_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace linattn::inline LINATTN_ABI {

/// The cumulative lengths of N packed sequences, cu_seqlens: N + 1 numbers, 0 first, the total time last, int32 or
/// int64. Sequence n owns the tokens [cu_seqlens[n], cu_seqlens[n + 1]); it may be empty. Default-constructed: the
/// batch is not packed. The numbers lie where the executor computes; only their count is read on the host.
class sequence_offsets {
 public:
  sequence_offsets() = default;
  template <std::size_t Extent>
  constexpr sequence_offsets(std::span<std::int32_t const, Extent> offsets) noexcept
      : narrow_(offsets.data()), count_(static_cast<std::int64_t>(offsets.size())), given_(true) {}
  template <std::size_t Extent>
  constexpr sequence_offsets(std::span<std::int32_t, Extent> offsets) noexcept
      : narrow_(offsets.data()), count_(static_cast<std::int64_t>(offsets.size())), given_(true) {}
  template <std::size_t Extent>
  constexpr sequence_offsets(std::span<std::int64_t const, Extent> offsets) noexcept
      : wide_(offsets.data()), count_(static_cast<std::int64_t>(offsets.size())), given_(true) {}
  template <std::size_t Extent>
  constexpr sequence_offsets(std::span<std::int64_t, Extent> offsets) noexcept
      : wide_(offsets.data()), count_(static_cast<std::int64_t>(offsets.size())), given_(true) {}

  [[nodiscard]] LINATTN_HOST_DEVICE constexpr bool present() const noexcept { return given_; }
  [[nodiscard]] LINATTN_HOST_DEVICE constexpr std::int64_t sequences() const noexcept { return count_ - 1; }
  [[nodiscard]] LINATTN_HOST_DEVICE constexpr std::int64_t operator[](std::int64_t i) const noexcept {
    return narrow_ != nullptr ? static_cast<std::int64_t>(narrow_[i]) : wide_[i];
  }

  /// Checks the numbers themselves, for executors that compute on host memory.
  bool check(diagnostic& report, std::int64_t time) const noexcept {
    if (!given_) {
      return true;
    }
    if (count_ < 1 || (narrow_ == nullptr && wide_ == nullptr)) {
      return report.fail("cu_seqlens is empty; it holds one more number than there are sequences",
                         "; pass {0} for no sequence");
    }
    if ((*this)[0] != 0 || (*this)[count_ - 1] != time) {
      return report.fail("cu_seqlens runs from ", (*this)[0], " to ", (*this)[count_ - 1],
                         "; it must run from 0 to the packed time ", time, "; pass cumulative lengths");
    }
    for (std::int64_t n = 0; n + 1 < count_; ++n) {
      if ((*this)[n + 1] < (*this)[n]) {
        return report.fail("cu_seqlens decreases at sequence ", n, "; it never decreases; pass cumulative lengths");
      }
    }
    return true;
  }

 private:
  std::int32_t const* narrow_ = nullptr;
  std::int64_t const* wide_ = nullptr;
  std::int64_t count_ = 0;
  bool given_ = false;
};

/// Which key head a query head reads when there are fewer key heads (GQA, MQA): `grouped`, head / group, or `tiled`,
/// head % kv_heads.
enum class head_map : std::uint8_t { grouped, tiled };

}  // namespace linattn::inline LINATTN_ABI

#endif
