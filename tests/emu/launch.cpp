// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A launch: what the device would refuse, the order of the blocks, and the fault that ended one.
#include "machine.hpp"

#include <algorithm>
#include <utility>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {
namespace {

std::vector<std::uint32_t> order_of_blocks(extent3 grid, schedule order) {
  std::vector<std::uint32_t> blocks(std::size_t{grid.x} * grid.y * grid.z);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    blocks[i] = static_cast<std::uint32_t>(i);
  }
  if (order == schedule::random) {
    for (std::size_t i = blocks.size(); i > 1; --i) {
      std::swap(blocks[i - 1], blocks[random_number() % i]);
    }
  } else if (order == schedule::reverse) {
    std::reverse(blocks.begin(), blocks.end());
  }
  return blocks;
}

void check_call(extent3 grid, kernel_call const& call) {
  if (active != nullptr) {
    throw kernel_error(fault::bad_call, "a launch inside a launch");
  }
  if (call.threads <= 0 || call.threads > 1024) {
    throw kernel_error(fault::bad_call, format("%d threads a block; 1 to 1024", call.threads));
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffU || grid.y > 65535 || grid.z > 65535) {
    throw kernel_error(fault::bad_call, format("a grid of (%u,%u,%u) blocks", grid.x, grid.y, grid.z));
  }
  if (call.shared_bytes > (std::size_t{227} << 10U)) {
    throw kernel_error(fault::bad_call, format("%zu bytes of shared memory; 227 KiB at most", call.shared_bytes));
  }
}

}  // namespace
}  // namespace detail

options& current_options() {
  static thread_local options chosen;
  return chosen;
}

int architecture() { return current_options().architecture; }

stats& current_stats() {
  static thread_local stats counted;
  return counted;
}

void launch(extent3 grid, kernel_call const& call) {
  using namespace detail;
  check_call(grid, call);
  catch_segmentation_faults();
  static thread_local machine m;  // keeps its large arrays for the next launch
  static std::uint32_t launches = 0;
  m.chosen = current_options();
  m.call = call;
  m.grid = grid;
  m.threads_per_block = static_cast<unsigned>(call.threads);
  m.launch_number = ++launches;
  m.random_state = 0x9e3779b97f4a7c15ULL * (std::uint64_t{m.chosen.seed} + 1);
  m.failed = fault::none;
  ++current_stats().launches;
  active = &m;
  map_shared_memory(call.shared_bytes);
  for (std::uint32_t const block : order_of_blocks(grid, m.chosen.order)) {
    m.block_number = block + 1;
    m.block_at = {block % grid.x, block / grid.x % grid.y, block / (grid.x * grid.y)};
    run_block();
    if (m.failed != fault::none) {
      break;
    }
  }
  active = nullptr;
  if (m.failed != fault::none) {
    throw kernel_error(m.failed, m.message);
  }
}

}  // namespace linattn::inline LINATTN_ABI::emu
