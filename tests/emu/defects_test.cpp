// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each planted defect is found on each of 20 seeds, and the same kernel without the defect runs through.
#include <doctest/doctest.h>

#include <linattn/simt/launch.hpp>

#include "emu/defect_kernels.hpp"
#include "emu/defect_kernels_memory.hpp"
#include "emu/device_buffer.hpp"
#include "emu/executor.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace {

namespace emu = linattn::emu;
namespace simt = linattn::simt;
using emu::fault;
using namespace linattn_test::defects;

constexpr unsigned kSeeds = 20;

struct outcome {
  fault kind = fault::none;
  std::string text;
};

template <class Kernel>
outcome run(emu::options const& chosen) {
  emu::scoped_options const scope(chosen);
  std::vector<float> const values(256, 1.0F);
  linattn_test::device_buffer<float> const in(values), sums(values), out(256);
  emu::mark_readonly(in.data(), true);
  float const* gone = nullptr;
  {
    linattn_test::device_buffer<float> const released(values);
    gone = released.data();
  }
  outcome found;
  try {
    linattn_test::require(
        simt::launch<Kernel>({2, 1, 1}, {in.data(), out.data(), sums.data(), values.data(), gone}, nullptr));
  } catch (emu::kernel_error const& error) {
    found = {error.kind, error.what()};
  }
  return found;
}

/// Which fault it is can depend on who comes first: a read before the write is of an uninitialised byte, and a race
/// after.
template <template <bool> class Kernel>
void check_found(std::vector<fault> const& kinds) {
  for (unsigned const preempt : {0U, 4U}) {
    for (unsigned seed = 1; seed <= kSeeds; ++seed) {
      CAPTURE(seed);
      CAPTURE(preempt);
      emu::options chosen;
      chosen.seed = seed;
      chosen.preempt = preempt;
      outcome const planted = run<Kernel<true>>(chosen);
      CAPTURE(planted.text);
      CHECK(std::count(kinds.begin(), kinds.end(), planted.kind) == 1);
      CHECK(planted.text.find(" at defect_kernels") != std::string::npos);  // the kernel's own line
      outcome const sound = run<Kernel<false>>(chosen);
      CAPTURE(sound.text);
      CHECK(sound.kind == fault::none);
    }
  }
  for (auto const order : {emu::schedule::in_order, emu::schedule::reverse}) {
    emu::options chosen;
    chosen.order = order;
    CHECK(run<Kernel<true>>(chosen).kind != fault::none);
    CHECK(run<Kernel<false>>(chosen).kind == fault::none);
  }
}

}  // namespace

#define CHECK_FOUND(kernel, ...) \
  SUBCASE(#kernel) { check_found<kernel>({__VA_ARGS__}); }

TEST_CASE("missing barriers are found"){
    CHECK_FOUND(no_barrier_before_reading, fault::shared_race, fault::shared_uninitialised)
        CHECK_FOUND(no_barrier_before_overwriting, fault::shared_race)
            CHECK_FOUND(no_warp_sync, fault::shared_race, fault::shared_uninitialised)
                CHECK_FOUND(warp_sync_for_block_sync, fault::shared_race, fault::shared_uninitialised)
                    CHECK_FOUND(all_write_one_byte, fault::shared_race)
                        CHECK_FOUND(no_barrier_that_says_empty, fault::shared_race)
                            CHECK_FOUND(no_barrier_in_device_memory, fault::global_race)}

TEST_CASE("barriers that not all threads reach are found"){
    CHECK_FOUND(barrier_in_a_branch, fault::barrier_divergence)
        CHECK_FOUND(return_before_a_barrier, fault::barrier_divergence)
            CHECK_FOUND(named_barrier_for_too_many, fault::barrier_divergence)
                CHECK_FOUND(named_barrier_with_two_counts, fault::barrier_divergence)}

TEST_CASE("misused asynchronous copies are found"){
    CHECK_FOUND(copy_without_wait, fault::copy_pending, fault::shared_uninitialised)
        CHECK_FOUND(copy_without_commit, fault::copy_pending) CHECK_FOUND(copy_with_a_group_left, fault::copy_pending)
            CHECK_FOUND(copy_read_before_wait, fault::copy_pending, fault::shared_race)
                CHECK_FOUND(copy_without_barrier, fault::shared_race, fault::shared_uninitialised, fault::copy_pending)
                    CHECK_FOUND(refill_before_the_barrier, fault::shared_race, fault::copy_pending)
                        CHECK_FOUND(write_under_a_copy, fault::copy_pending, fault::shared_race)
                            CHECK_FOUND(return_with_a_copy, fault::copy_unwaited)
                                CHECK_FOUND(return_with_an_uncommitted_copy, fault::copy_unwaited)
                                    CHECK_FOUND(copy_past_the_end, fault::global_out_of_bounds)
                                        CHECK_FOUND(copy_from_shared, fault::bad_call)
                                            CHECK_FOUND(misaligned_copy, fault::misaligned)
                                                CHECK_FOUND(source_overwritten_under_a_copy, fault::global_race)}

TEST_CASE("accesses of memory that is not the kernel's are found"){
    CHECK_FOUND(shared_past_the_end, fault::shared_out_of_bounds)
        CHECK_FOUND(shared_far_past_the_end, fault::shared_out_of_bounds)
            CHECK_FOUND(read_past_the_end, fault::global_out_of_bounds)
                CHECK_FOUND(vector_read_past_the_end, fault::global_out_of_bounds)
                    CHECK_FOUND(store_before_the_begin, fault::global_out_of_bounds)
                        CHECK_FOUND(wrong_batch_stride, fault::global_out_of_bounds)
                            CHECK_FOUND(use_after_release, fault::global_out_of_bounds)
                                CHECK_FOUND(reads_host_memory, fault::host_memory)
                                    CHECK_FOUND(reads_another_stack, fault::host_memory)
                                        CHECK_FOUND(writes_its_parameters, fault::host_memory)
                                            CHECK_FOUND(writes_its_input, fault::readonly_write)
                                                CHECK_FOUND(endless_recursion, fault::stack_overflow)}

TEST_CASE("misaligned and uninitialised accesses are found"){
    CHECK_FOUND(misaligned_vector, fault::misaligned) CHECK_FOUND(misaligned_shared_vector, fault::misaligned)
        CHECK_FOUND(misaligned_matrix_row, fault::misaligned)
            CHECK_FOUND(tail_rows_left_out, fault::shared_uninitialised)
                CHECK_FOUND(shared_never_written, fault::shared_uninitialised)
                    CHECK_FOUND(output_read_before_written, fault::global_uninitialised)}

TEST_CASE("races between blocks are found"){CHECK_FOUND(plain_sum_over_blocks, fault::global_race)
                                                CHECK_FOUND(blocks_write_the_same, fault::global_race)
                                                    CHECK_FOUND(reads_what_a_block_writes, fault::global_race)
                                                        CHECK_FOUND(readonly_load_of_own_output, fault::global_race)}

TEST_CASE("lanes that lose each other are found"){
    CHECK_FOUND(half_a_warp_shuffles, fault::deadlock) CHECK_FOUND(different_shuffles, fault::warp_divergence)
        CHECK_FOUND(mask_without_the_caller, fault::warp_divergence)
            CHECK_FOUND(overlapping_masks, fault::warp_divergence) CHECK_FOUND(half_a_warp_multiplies, fault::deadlock)
                CHECK_FOUND(half_a_warp_loads_matrices, fault::warp_divergence)
                    CHECK_FOUND(lanes_return_before_a_vote, fault::deadlock)}

TEST_CASE("a report names the lines of both parties") {
  outcome const race = run<no_barrier_before_overwriting<true>>({});
  CHECK(race.text.find("[shared race] block (") == 0);
  std::size_t const first = race.text.find("defect_kernels.hpp:");
  CHECK(first != std::string::npos);
  CHECK(race.text.find("defect_kernels.hpp:", first + 1) != std::string::npos);
}
