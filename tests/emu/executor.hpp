// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The host executor of emulated kernels, as tests see it. A launch runs each device thread on a fiber, in an order that
// the seed decides, and throws on the first fault: a race, a missing barrier, an access outside of what the kernel
// owns. Plain accesses are seen only in translation units compiled with linattn_emu_instrumented's flags. One host
// thread launches at a time.
#ifndef LINATTN_TESTS_EMU_EXECUTOR_HPP
#define LINATTN_TESTS_EMU_EXECUTOR_HPP

#include <linattn/simt/emulation.hpp>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace linattn::inline LINATTN_ABI::emu {

/// Which of the threads that can run goes on, at each point where one of them waits.
enum class schedule { random, in_order, reverse };

enum class fault {
  none,
  shared_race,           // two threads, at least one of them writes, no barrier between
  shared_uninitialised,  // a byte that this block never wrote
  shared_out_of_bounds,
  copy_pending,   // an asynchronous copy into these bytes is not waited for
  copy_unwaited,  // a thread returns with copies under way
  global_race,
  global_uninitialised,
  global_out_of_bounds,
  readonly_write,
  host_memory,  // neither the thread's stack, nor parameters, shared or device memory
  misaligned,
  barrier_divergence,
  warp_divergence,  // lanes of one warp in different collective operations
  deadlock,
  stack_overflow,
  bad_call,
};
char const* name(fault kind);

struct options {
  unsigned seed = 1;
  schedule order = schedule::random;
  unsigned preempt = 0;                 // one in so many memory accesses lets another thread go on; 0: none does
  bool shadow = true;                   // keep the history of each byte: finds races and uninitialised reads
  std::size_t stack_bytes = 128 << 10;  // of a device thread
  int architecture = 80;                // what kernels say that they are compiled for; 0: asking fails
};

/// The options of this thread's launches, also of those deep inside library code.
options& current_options();

/// Other options for a scope.
class scoped_options {
 public:
  explicit scoped_options(options const& changed) : saved_(current_options()) { current_options() = changed; }
  scoped_options(scoped_options const&) = delete;
  scoped_options& operator=(scoped_options const&) = delete;
  ~scoped_options() { current_options() = saved_; }

 private:
  options saved_;
};

/// What was executed: summed over this thread's launches since the last `current_stats() = {}`.
struct stats {
  std::uint64_t launches = 0, blocks = 0, threads = 0, switches = 0;
  std::uint64_t barriers = 0, collectives = 0, shuffles = 0, mma = 0;
  std::uint64_t ldmatrix = 0, ldmatrix_conflicts = 0;  // rows of one 8x8 matrix in the same banks
  std::uint64_t copies = 0, copied_bytes = 0;          // asynchronous
  std::uint64_t shared_accesses = 0, global_accesses = 0, global_read_bytes = 0, global_written_bytes = 0;
};
stats& current_stats();

/// A fault of a kernel, with the source lines of both parties.
class kernel_error : public std::runtime_error {
 public:
  kernel_error(fault kind_of_fault, std::string const& text) : std::runtime_error(text), kind(kind_of_fault) {}
  fault kind;
};

// Device memory comes from allocate() in simt/emulation.hpp: between guard pages, filled with NaNs, uninitialised. The
// host may read and write it outside launches; what it wrote counts as initialised once it says so.
void mark_initialised(void* p, std::size_t bytes);
void mark_readonly(void* p, bool readonly);
bool is_device_pointer(void const* p);

/// True once code compiled with the instrumentation has run in this process.
bool instrumented();

}  // namespace linattn::inline LINATTN_ABI::emu

#endif
