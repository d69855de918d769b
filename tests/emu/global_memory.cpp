// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Device memory: an arena in which every buffer lies between guard pages, its end as close to one as a start aligned to
// 256 bytes allows. Addresses are never used again, so that a stale pointer stays one.
#include "machine.hpp"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

namespace {

constexpr std::size_t arena_bytes = std::size_t{64} << 30U;  // of addresses, not of memory
constexpr std::size_t start_alignment = 256;

using cell = cell_history<2>;
using history = byte_history<2>;

/// Cells for buffers, kept for the next ones: what an earlier launch left in them is of an earlier epoch. From calloc:
/// only what is accessed takes memory.
class cell_store {
 public:
  /// `size` is a power of two.
  static cell* take(std::size_t size) {
    auto& kept = kept_of(size);
    if (kept.empty()) {
      return static_cast<cell*>(std::calloc(size, sizeof(cell)));
    }
    cell* const cells = kept.back();
    kept.pop_back();
    return cells;
  }
  static void give_back(cell* cells, std::size_t size) { kept_of(size).push_back(cells); }

 private:
  static std::vector<cell*>& kept_of(std::size_t size) {
    static std::vector<cell*> kept[64];
    return kept[std::bit_width(size) - 1];
  }
};

struct buffer {
  char* map;
  std::size_t map_bytes;
  char* begin;
  std::size_t bytes;
  bool readonly = false;
  std::vector<std::uint8_t> initialised;
  cell* cells = nullptr;
  std::size_t cell_count = 0;
};

char* arena = nullptr;
std::size_t arena_used = 0;
std::vector<std::unique_ptr<buffer>> buffers;
std::vector<std::uint32_t> buffer_of_page;  // index into buffers, plus 1

buffer* find(void const* p) {
  auto const page = static_cast<std::size_t>(static_cast<char const*>(p) - arena) / page_bytes;
  bool const mapped = arena != nullptr && page < buffer_of_page.size() && buffer_of_page[page] != 0;
  return mapped ? buffers[buffer_of_page[page] - 1].get() : nullptr;
}

buffer& find_live(void const* p, char const* asker) {
  buffer* const found = find(p);
  if (found == nullptr) {
    throw kernel_error(fault::bad_call, format("%s of a pointer that is not to device memory", asker));
  }
  return *found;
}

buffer& check_bounds(void const* p, std::size_t bytes, char const* how, void const* pc) {
  buffer* const found = find(p);
  auto const* const begin = static_cast<char const*>(p);
  if (found == nullptr || begin < found->begin || begin + bytes > found->begin + found->bytes) {
    fail(fault::global_out_of_bounds, pc, format("%s of %zu bytes ", how, bytes) + locate_global(p));
  }
  return *found;
}

/// f(history, offset), for all histories of these bytes.
template <bool SameAfter, class F>
void for_each(buffer const& b, std::size_t offset, std::size_t bytes, F&& f) {
  for_each_history<SameAfter>(b.cells, offset, bytes, active->launch_number, f);
}

}  // namespace

bool in_arena(void const* p) {
  return arena != nullptr && static_cast<std::size_t>(static_cast<char const*>(p) - arena) < arena_bytes;
}

/// Where p is, for a message: in or next to which buffer.
std::string locate_global(void const* p) {
  auto const* const at = static_cast<char const*>(p);
  for (std::ptrdiff_t pages = 0; pages < 64; ++pages) {
    for (std::ptrdiff_t const distance : {pages, -pages}) {
      char const* const nearby = at + distance * static_cast<std::ptrdiff_t>(page_bytes);
      if (buffer const* const found = in_arena(nearby) ? find(nearby) : nullptr) {
        return format("at offset %lld of a buffer of %zu bytes", static_cast<long long>(at - found->begin),
                      found->bytes);
      }
    }
  }
  return format("at %p, where no buffer is", p);
}

void read_global(void const* p, std::size_t bytes, void const* pc) {
  buffer const& b = check_bounds(p, bytes, "read", pc);
  ++current_stats().global_accesses;
  current_stats().global_read_bytes += bytes;
  if (!active->chosen.shadow) {
    return;
  }
  observer const me = observe(pc);
  auto const first = static_cast<std::size_t>(static_cast<char const*>(p) - b.begin);
  std::uint8_t const* const initialised = b.initialised.data() + first;
  if (auto const* const hole = static_cast<std::uint8_t const*>(std::memchr(initialised, 0, bytes))) {
    auto const at = first + static_cast<std::size_t>(hole - initialised);
    fail(fault::global_uninitialised, pc, format("reads byte %zu of a buffer, which nobody wrote", at));
  }
  for_each<false>(b, first, bytes, [&](history& byte, std::size_t at) {
    if (access_record const* const other = byte.read(me)) {
      fail(fault::global_race, pc, format("reads byte %zu of a buffer, racing with the write ", at) + describe(*other));
    }
  });
}

void read_global_unwritten(void const* p, std::size_t bytes, void const* pc) {
  read_global(p, bytes, pc);
  if (!active->chosen.shadow) {
    return;
  }
  buffer const& b = *find(p);
  auto const first = static_cast<std::size_t>(static_cast<char const*>(p) - b.begin);
  for_each<false>(b, first, bytes, [&](history const& byte, std::size_t at) {
    if (byte.write.block != 0) {
      fail(fault::global_race, pc,
           format("load_readonly of byte %zu of a buffer, which this launch writes: ", at) + describe(byte.write));
    }
  });
}

void write_global(void* p, std::size_t bytes, void const* pc) {
  buffer& b = check_bounds(p, bytes, "write", pc);
  ++current_stats().global_accesses;
  current_stats().global_written_bytes += bytes;
  if (b.readonly) {
    fail(fault::readonly_write, pc, "writes a buffer that is marked read-only");
  }
  if (!active->chosen.shadow) {
    return;
  }
  observer const me = observe(pc);
  auto const first = static_cast<std::size_t>(static_cast<char*>(p) - b.begin);
  for_each<true>(b, first, bytes, [&](history& byte, std::size_t at) {
    if (access_record const* const other = byte.overwrite(me)) {
      char const* const what = other == &byte.write ? "write " : "read ";
      fail(fault::global_race, pc,
           format("writes byte %zu of a buffer, racing with the %s", at, what) + describe(*other));
    }
  });
  std::memset(b.initialised.data() + first, 1, bytes);
}

}  // namespace detail

void* allocate(std::size_t bytes) {
  using namespace detail;
  if (arena == nullptr) {
    void* const map = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
      throw std::bad_alloc();
    }
    arena = static_cast<char*>(map);
  }
  std::size_t const wanted = bytes == 0 ? 1 : bytes;
  std::size_t const body = (wanted + start_alignment - 1) / start_alignment * start_alignment;
  std::size_t const inner = (body + page_bytes - 1) / page_bytes * page_bytes;
  std::size_t const total = inner + 2 * page_bytes;
  if (bytes > arena_bytes || arena_used + total > arena_bytes) {
    throw std::bad_alloc();
  }
  auto made = std::make_unique<buffer>();
  made->map = arena + arena_used;
  made->map_bytes = total;
  made->begin = made->map + page_bytes + inner - body;
  made->bytes = bytes;
  made->initialised.assign(bytes, 0);
  made->cell_count = std::bit_ceil((wanted + cell::bytes - 1) / cell::bytes);
  made->cells = cell_store::take(made->cell_count);
  if (made->cells == nullptr || mprotect(made->map + page_bytes, inner, PROT_READ | PROT_WRITE) != 0) {
    throw std::bad_alloc();
  }
  std::memset(made->map + page_bytes, 0xff, inner);
  char* const begin = made->begin;
  buffers.push_back(std::move(made));
  arena_used += total;
  buffer_of_page.resize(arena_used / page_bytes, 0);
  for (std::size_t page = (arena_used - total) / page_bytes + 1; page + 1 < arena_used / page_bytes; ++page) {
    buffer_of_page[page] = static_cast<std::uint32_t>(buffers.size());
  }
  return begin;
}

void release(void* p) {
  using namespace detail;
  if (p == nullptr) {
    return;
  }
  buffer const& b = find_live(p, "release");
  auto const first = static_cast<std::size_t>(b.map - arena) / page_bytes;
  std::uint32_t const index = buffer_of_page[first + 1] - 1;
  for (std::size_t page = first; page < first + b.map_bytes / page_bytes; ++page) {
    buffer_of_page[page] = 0;
  }
  madvise(b.map, b.map_bytes, MADV_DONTNEED);
  mprotect(b.map, b.map_bytes, PROT_NONE);  // a use after this faults
  cell_store::give_back(b.cells, b.cell_count);
  buffers[index].reset();
}

void set_zero(void* p, std::size_t bytes) {
  if (bytes != 0) {
    mark_initialised(p, bytes);
    std::memset(p, 0, bytes);
  }
}

void mark_initialised(void* p, std::size_t bytes) {
  using namespace detail;
  if (bytes == 0) {
    return;
  }
  buffer& b = find_live(p, "mark_initialised");
  auto const first = static_cast<std::size_t>(static_cast<char*>(p) - b.begin);
  if (static_cast<char*>(p) < b.begin || first + bytes > b.bytes) {
    throw kernel_error(fault::bad_call, format("%zu bytes ", bytes) + locate_global(p) + " cannot be initialised");
  }
  std::memset(b.initialised.data() + first, 1, bytes);
}

void mark_readonly(void* p, bool readonly) { detail::find_live(p, "mark_readonly").readonly = readonly; }

bool is_device_pointer(void const* p) { return detail::in_arena(p) && detail::find(p) != nullptr; }

}  // namespace linattn::inline LINATTN_ABI::emu
