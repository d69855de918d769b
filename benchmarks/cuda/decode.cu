// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times step on a GPU in bf16: cuda_decode [--shapes BxHxT,...] [--rounds N] [--only MAP:HEAD_DIM]. See driver.cuh. T
// tokens go through step one by one and are compared with forward on the CPU; then the last of them again and again.
#include "driver.cuh"

#include <cstddef>
#include <cstdio>

namespace {

using namespace linattn_benchmark;

/// Zero states on the device.
template <class Map>
class device_states {
 public:
  explicit device_states(shape const& s) : shape_(s) {
    std::size_t const heads = static_cast<std::size_t>(s.batch) * static_cast<std::size_t>(s.heads);
    sums_ = heads * Map::feature_dim;
    numbers_ = sums_ * (static_cast<std::size_t>(s.value_dim) + 1);
    check(cudaMalloc(&memory_, bytes()), "cudaMalloc");
    check(cudaMemset(memory_, 0, bytes()), "cudaMemset");
  }
  device_states(device_states const&) = delete;
  device_states& operator=(device_states const&) = delete;
  ~device_states() { static_cast<void>(cudaFree(memory_)); }

  [[nodiscard]] std::size_t bytes() const { return numbers_ * sizeof(float); }
  [[nodiscard]] linattn::state_view<Map> view() const {
    return linattn::view_state<Map>(memory_, memory_ + (numbers_ - sums_), shape_.batch, shape_.heads,
                                    shape_.value_dim);
  }

 private:
  shape shape_;
  std::size_t sums_ = 0, numbers_ = 0;
  float* memory_ = nullptr;
};

struct measure_decode {
  template <class Map>
  bool operator()(char const* name, machine const& m, shape const& s, int rounds) const {
    using attention = timed_attention<Map>;
    problem<attention> const p(s, m.cache_bytes, tensors::of_forward);
    device_states<Map> const states(s);
    timed_executor<> const exec(
        m, linattn::workspace_bytes(linattn::cuda_executor<>{m.stream}, attention{}, p.token_arguments(0, 0)));
    auto const step = [&](int run, int time) {
      linattn::step(exec.get(), attention{}, states.view(), p.token_arguments(run, time));
    };
    for (int time = 0; time < s.time; ++time) {
      step(0, time);
    }
    check(cudaStreamSynchronize(m.stream), name);
    double const error = p.error();
    print_case("decode", name, Map::head_dim, s, error);
    if (!(error < accepted_error)) {
      print_failure();
      return false;
    }
    double const ms = median_ms(m.stream, rounds, [&](int run) { step(run, s.time - 1); });
    double const bytes_s = 2 * static_cast<double>(states.bytes()) / (ms * 1e-3);  // each state is read and written
    std::printf(R"(, "ms": %.5f, "ns_token_head": %.4f, "state_bytes": %zu, "bytes_s": %.4e, "copy_share": %.4f})"
                "\n",
                ms, 1e6 * ms / (static_cast<double>(s.batch) * s.heads), states.bytes(), bytes_s, bytes_s / m.copy);
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "cuda_decode", measure_decode{}, {{256, 16, 8, 64}, {8, 16, 8, 64}});
}
