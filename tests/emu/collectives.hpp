// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations that lanes of a warp execute together. Private to the executor.
#ifndef LINATTN_TESTS_EMU_COLLECTIVES_HPP
#define LINATTN_TESTS_EMU_COLLECTIVES_HPP

#include "machine.hpp"

namespace linattn::inline LINATTN_ABI::emu::detail {

/// What the lanes do once all of the mask are there: lanes[i] is the data that lane i brought.
using warp_operation = void (*)(void* const* lanes, std::uint32_t mask, std::uint64_t variant);
enum class memory_order { none, barrier };

/// Waits for the other lanes of the mask. All must come with the same operation and variant.
void collective(char const* operation, std::uint64_t variant, std::uint32_t mask, void* data, warp_operation run,
                memory_order order, void const* pc);

}  // namespace linattn::inline LINATTN_ABI::emu::detail

#endif
