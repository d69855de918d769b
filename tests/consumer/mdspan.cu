// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// cuda::std::mdspan converts to linattn's views, whatever its layout and index type; what would lose const or a dimension
// does not. Runs without a GPU: no element is touched.
#include <linattn/cuda.cuh>

#include <cuda/std/array>
#include <cuda/std/mdspan>

#include <cstdio>
#include <type_traits>

namespace {

template <class T, class Index, std::size_t Rank, class Layout = cuda::std::layout_right>
using mdspan = cuda::std::mdspan<T, cuda::std::dextents<Index, Rank>, Layout>;
template <class From, class To>
constexpr bool converts = std::is_convertible_v<From, To>;

using view = linattn::tensor_view<float, 4>;
using const_view = linattn::tensor_view<float const, 4>;

static_assert(converts<mdspan<float, int, 4>, view> && converts<mdspan<float, std::size_t, 4>, view>);
static_assert(converts<mdspan<float, int, 4>, const_view> && converts<mdspan<float const, int, 4>, const_view>);
static_assert(converts<mdspan<float, int, 4, cuda::std::layout_stride>, view>);
static_assert(converts<cuda::std::mdspan<float, cuda::std::extents<int, 2, 3, 5, 16>>, view>);
static_assert(!converts<mdspan<float const, int, 4>, view>, "const would be lost");
static_assert(!converts<mdspan<float, int, 3>, view>, "a dimension would be lost");
static_assert(!converts<mdspan<double, int, 4>, view>, "doubles are not floats");

bool is(view const& got, float* data, long long const (&extents)[4], long long const (&strides)[4]) {
  bool same = got.data == data;
  for (int i = 0; i < 4; ++i) {
    same = same && got.extents[i] == extents[i] && got.strides[i] == strides[i];
  }
  return same;
}

}  // namespace

int main() {
  float numbers[2 * 3 * 5 * 16];
  // (batch, head, time, channel) over memory in the order (batch, time, head, channel).
  using extents = cuda::std::dextents<int, 4>;
  using strided = cuda::std::layout_stride::mapping<extents>;
  cuda::std::array<int, 4> const strides{240, 16, 48, 1};
  mdspan<float, int, 4, cuda::std::layout_stride> const bthd(numbers, strided(extents(2, 3, 5, 16), strides));
  bool const right = is(mdspan<float, int, 4>(numbers, 2, 3, 5, 16), numbers, {2, 3, 5, 16}, {240, 80, 16, 1}) &&
                     is(bthd, numbers, {2, 3, 5, 16}, {240, 16, 48, 1});
  std::puts(right ? "mdspans convert" : "an mdspan converts WRONG");
  return right ? 0 : 1;
}
