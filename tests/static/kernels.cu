// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The default kernels: what forward and backward launch for common maps on float and bf16, the parallel form and a
// decoding step once. check_budgets.py compiles this for each architecture and compares what each kernel costs with
// budgets.json.
#include <linattn/cuda.cuh>

template <class Map, class Element>
using default_attention = linattn::attention<Map, linattn::chunkwise<>, linattn::sum_normalizer, Element>;

#define LINATTN_TEST_KERNELS(verb, ...)                                                               \
  template void linattn::verb(linattn::cuda_executor<> const&, default_attention<__VA_ARGS__> const&, \
                              default_attention<__VA_ARGS__>::verb##_args const&);

LINATTN_TEST_KERNELS(forward, linattn::rebased<16>, linattn::bf16)
LINATTN_TEST_KERNELS(forward, linattn::rebased<16>, float)
LINATTN_TEST_KERNELS(forward, linattn::taylor<16>, linattn::bf16)
LINATTN_TEST_KERNELS(forward, linattn::taylor<16>, float)
LINATTN_TEST_KERNELS(forward, linattn::taylor<64>, linattn::bf16)
LINATTN_TEST_KERNELS(forward, linattn::taylor<64>, float)
LINATTN_TEST_KERNELS(forward, linattn::elu_plus_one<64>, linattn::bf16)
LINATTN_TEST_KERNELS(forward, linattn::elu_plus_one<64>, float)

// The fused form of long rows: four warps share the features, or where there are few, none does.
template class linattn::detail::fused_call<linattn::cuda_tuning,
                                           default_attention<linattn::rebased<32>, linattn::bf16>>;
template class linattn::detail::fused_call<linattn::cuda_tuning, default_attention<linattn::rebased<32>, float>>;
template class linattn::detail::fused_call<linattn::cuda_tuning, default_attention<linattn::taylor<32>, linattn::bf16>>;
template class linattn::detail::fused_call<linattn::cuda_tuning, default_attention<linattn::taylor<32>, float>>;
template class linattn::detail::fused_call<linattn::cuda_tuning,
                                           default_attention<linattn::elu_plus_one<32>, linattn::bf16>>;
template class linattn::detail::fused_call<linattn::cuda_tuning, default_attention<linattn::elu_plus_one<32>, float>>;

LINATTN_TEST_KERNELS(backward, linattn::elu_plus_one<32>, linattn::bf16)
LINATTN_TEST_KERNELS(backward, linattn::rebased<16>, linattn::bf16)
LINATTN_TEST_KERNELS(backward, linattn::rebased<16>, float)
LINATTN_TEST_KERNELS(backward, linattn::taylor<16>, linattn::bf16)
LINATTN_TEST_KERNELS(backward, linattn::taylor<32>, linattn::bf16)
LINATTN_TEST_KERNELS(backward, linattn::rebased<32>, linattn::bf16)
LINATTN_TEST_KERNELS(backward, linattn::rebased<64>, linattn::bf16)
LINATTN_TEST_KERNELS(backward, linattn::rebased<128>, linattn::bf16)

// The parallel form; from head_dim 33 on, rows are prepared before.
template <class Map, class Element>
using parallel_attention = linattn::attention<Map, linattn::parallel, linattn::sum_normalizer, Element>;

#define LINATTN_TEST_PARALLEL(...) \
  template class linattn::detail::forward_call<linattn::cuda_tuning, parallel_attention<__VA_ARGS__>>;

LINATTN_TEST_PARALLEL(linattn::taylor<16>, linattn::bf16)
LINATTN_TEST_PARALLEL(linattn::rebased<32>, linattn::bf16)
LINATTN_TEST_PARALLEL(linattn::rebased<32>, float)
LINATTN_TEST_PARALLEL(linattn::elu_plus_one<32>, linattn::bf16)
LINATTN_TEST_PARALLEL(linattn::rebased<64>, linattn::bf16)
LINATTN_TEST_PARALLEL(linattn::rebased<128>, linattn::bf16)
LINATTN_TEST_PARALLEL(linattn::elu_plus_one<128>, float)

using based = default_attention<linattn::taylor<16>, linattn::bf16>;
template void linattn::step(linattn::cuda_executor<> const&, based const&, based::state_type const&,
                            based::step_args const&);
using paper = default_attention<linattn::rebased<16>, linattn::bf16>;
template void linattn::step(linattn::cuda_executor<> const&, paper const&, paper::state_type const&,
                            paper::step_args const&);
