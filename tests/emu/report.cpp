// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Faults: their names, the source lines of those involved, and the way out of the launch.
#include "machine.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <unordered_map>

namespace linattn::inline LINATTN_ABI::emu {

char const* name(fault kind) {
  switch (kind) {
    case fault::none:
      return "none";
    case fault::shared_race:
      return "shared race";
    case fault::shared_uninitialised:
      return "shared uninitialised";
    case fault::shared_out_of_bounds:
      return "shared out of bounds";
    case fault::copy_pending:
      return "copy pending";
    case fault::copy_unwaited:
      return "copy unwaited";
    case fault::global_race:
      return "global race";
    case fault::global_uninitialised:
      return "global uninitialised";
    case fault::global_out_of_bounds:
      return "global out of bounds";
    case fault::readonly_write:
      return "read-only write";
    case fault::host_memory:
      return "host memory";
    case fault::misaligned:
      return "misaligned";
    case fault::barrier_divergence:
      return "barrier divergence";
    case fault::warp_divergence:
      return "warp divergence";
    case fault::deadlock:
      return "deadlock";
    case fault::stack_overflow:
      return "stack overflow";
    case fault::bad_call:
      return "bad call";
  }
  return "?";
}

namespace detail {

std::string format(char const* text, ...) {
  char buffer[1024];
  va_list arguments;
  va_start(arguments, text);
  std::vsnprintf(buffer, sizeof(buffer), text, arguments);
  va_end(arguments);
  return buffer;
}

namespace {

/// The innermost inlined frame that is the kernel's own: not a primitive, not a copy of a struct in core/.
std::string ask_addr2line(void const* pc) {
  Dl_info module{};
  char const* const call = static_cast<char const*>(pc) - 1;  // pc is where the call returns to
  if (dladdr(call, &module) == 0 || module.dli_fname == nullptr) {
    return "?";
  }
  auto const offset = static_cast<std::size_t>(call - static_cast<char const*>(module.dli_fbase));
  std::string const command = format("addr2line -e '%s' -i 0x%zx 2>/dev/null", module.dli_fname, offset);
  std::unique_ptr<FILE, int (*)(FILE*)> const pipe(popen(command.c_str(), "r"), pclose);
  std::string found = "?";
  char line[1024];
  while (pipe && std::fgets(line, sizeof(line), pipe.get()) != nullptr) {
    std::string frame(line);
    frame.erase((std::min)(frame.find('\n'), frame.size()));
    frame.erase((std::min)(frame.find(" (discriminator"), frame.size()));
    bool const is_primitive = frame.find("linattn/simt/") != std::string::npos;
    auto const folder = frame.rfind('/');
    found = folder == std::string::npos ? frame : frame.substr(folder + 1);
    if (!is_primitive) {
      break;
    }
  }
  return found;
}

}  // namespace

std::string source_line(void const* pc) {
  if (pc == nullptr) {
    return "?";
  }
  static std::unordered_map<void const*, std::string> known;  // starting addr2line takes 20 ms
  auto const [entry, fresh] = known.try_emplace(pc);
  if (fresh) {
    entry->second = ask_addr2line(pc);
  }
  return entry->second;
}

std::string source_line(access_record const& record) { return source_line(record.pc()); }

std::string describe(access_record const& record) {
  return format("of block %u thread %u at ", record.block - 1, record.thread()) + source_line(record);
}

void fail(fault kind, void const* pc, std::string const& text) {
  in_kernel = false;
  std::string who = "host";
  if (current != nullptr) {
    extent3 const block = active->block_at;
    who = format("block (%u,%u,%u) thread %u (warp %u lane %u)", block.x, block.y, block.z, current->id,
                 current->id / lanes_per_warp, current->id % lanes_per_warp);
  }
  std::string const message = format("[%s] ", name(kind)) + who + " at " + source_line(pc) + ": " + text;
  if (current == nullptr) {
    throw kernel_error(kind, message);
  }
  active->failed = kind;
  active->message = message;
  leave_for_host();  // without unwinding: the launch's fibers are abandoned
}

}  // namespace detail
}  // namespace linattn::inline LINATTN_ABI::emu
