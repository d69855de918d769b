// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The state of a launch, shared by the executor's files. Private to the executor.
#ifndef LINATTN_TESTS_EMU_MACHINE_HPP
#define LINATTN_TESTS_EMU_MACHINE_HPP

#include "executor.hpp"
#include "fiber.hpp"
#include "history.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace linattn::inline LINATTN_ABI::emu::detail {

inline constexpr std::size_t page_bytes = 4096;
inline constexpr std::size_t shared_capacity = 256 << 10;
inline constexpr std::size_t shared_guard = 64 << 10;
inline constexpr unsigned lanes_per_warp = 32;

enum class thread_state : std::uint8_t { ready, blocked, done };

/// An asynchronous copy under way.
struct copy {
  std::uint32_t dst;
  char const* src;
  int bytes, src_bytes;
  void const* pc;
};

struct device_thread {
  fiber context;
  char* stack = nullptr;
  unsigned id = 0;  // in the block
  thread_state state = thread_state::ready;
  char const* waits_in = "";
  void const* waits_at = nullptr;
  std::vector<copy> open_copies;
  std::vector<std::vector<copy>> copy_groups;
};

/// Lanes of a warp that meet in one operation.
struct rendezvous {
  std::uint32_t mask = 0, arrived = 0;
  char const* operation = nullptr;
  std::uint64_t variant = 0;
  void const* pc = nullptr;
  std::array<void*, lanes_per_warp> data{};
};

struct barrier {
  std::vector<unsigned> waiting;
  int threads = 0;  // 0: all of the block
};

struct machine {
  options chosen;
  kernel_call call{};
  extent3 grid, block_at;
  std::uint32_t block_number = 0;  // of the grid, counted from 1
  std::uint32_t launch_number = 0, block_serial = 0;
  unsigned threads_per_block = 0, live = 0;
  std::uint64_t random_state = 0;

  std::vector<device_thread> threads;
  std::vector<unsigned> ready;
  std::vector<std::vector<rendezvous>> warps;
  std::array<barrier, 16> barriers;
  std::vector<std::uint32_t> clocks;  // clocks[t * threads_per_block + u]: what thread t knows of thread u
  fiber host;

  char* shared_map = nullptr;
  char* shared = nullptr;
  std::vector<cell_history<4>> shared_history;

  fault failed = fault::none;
  std::string message;
};

// Set while a launch runs. constinit: no guard at each use.
extern constinit thread_local machine* active;
extern constinit thread_local device_thread* current;
// The kernel's own code is running, as opposed to the executor's: only then are memory accesses its business. The
// executor uses standard containers whose instrumented copies the linker may have picked from the test's object file.
extern constinit thread_local bool in_kernel;

/// Every function that a device thread calls begins with one.
class executor_scope {
 public:
  executor_scope() { in_kernel = false; }
  executor_scope(executor_scope const&) = delete;
  executor_scope& operator=(executor_scope const&) = delete;
  ~executor_scope() { in_kernel = true; }
};

/// A thread's clocks, and the record that an access of the running thread leaves.
inline std::uint32_t* clocks_of(unsigned thread) {
  return active->clocks.data() + std::size_t{thread} * active->threads_per_block;
}
inline observer observe(void const* pc) {
  std::uint32_t const* const clocks = clocks_of(current->id);
  return {{active->block_number, clocks[current->id], access_record::code_of(current->id, pc)}, clocks};
}
inline bool on_own_stack(void const* p) {
  return static_cast<std::size_t>(static_cast<char const*>(p) - current->stack) < active->chosen.stack_bytes;
}

// --- report.cpp
// -------------------------------------------------------------------------------------------------------
[[gnu::format(printf, 1, 2), gnu::cold]] std::string format(char const* text, ...);
std::string source_line(void const* pc);
std::string source_line(access_record const& record);
std::string describe(access_record const& record);
[[noreturn, gnu::cold]] void fail(fault kind, void const* pc, std::string const& text);

// --- scheduler.cpp
// ----------------------------------------------------------------------------------------------------
std::uint64_t random_number();
void run_block();
void make_ready(device_thread& thread);
void block_in(char const* what, void const* pc);  // until someone makes this thread ready
void let_others_run();
[[noreturn]] void leave_for_host();
void meet(unsigned const* threads, std::size_t count);  // they learn each other's clocks

// --- shared_memory.cpp
// ------------------------------------------------------------------------------------------------
void map_shared_memory(std::size_t bytes);
bool is_shared(void const* p);
std::int64_t shared_offset(void const* p);
char* at_shared(std::uint32_t address);
void read_shared(std::int64_t offset, std::size_t bytes, void const* pc);
enum class store_kind { direct, asynchronous };
void write_shared(std::int64_t offset, std::size_t bytes, void const* pc, store_kind kind = store_kind::direct);
void land_copy(std::uint32_t dst, std::size_t bytes, void const* pc);

// --- global_memory.cpp
// ------------------------------------------------------------------------------------------------
bool in_arena(void const* p);
std::string locate_global(void const* p);
void read_global(void const* p, std::size_t bytes, void const* pc);
void write_global(void* p, std::size_t bytes, void const* pc);
void read_global_unwritten(void const* p, std::size_t bytes, void const* pc);  // nothing may write it in this launch

// --- access.cpp
// -------------------------------------------------------------------------------------------------------
/// Any load or store of a device thread. `alignment` is what the instruction asks for.
void check_access(void const* p, std::size_t bytes, bool write, std::size_t alignment, void const* pc);
void observe_host_code();  // an instrumented access outside launches

// --- signals.cpp
// ------------------------------------------------------------------------------------------------------
void catch_segmentation_faults();

}  // namespace linattn::inline LINATTN_ABI::emu::detail

#endif
