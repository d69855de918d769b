// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A consumer of linattn::cuda: the README's attend() on a stream, compared with the definition where there is a GPU.
// How linattn is found is in the way this file is compiled (consume.py). Exit code 77: compiled and linked, but no GPU.
#include "attend.cu"  // quoted from README.md by consume.py

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

constexpr int kTime = 70, kHeads = 3, kHeadDim = 16, kValueDim = 8;

float* on_device(std::vector<float> const& numbers) {
  float* p = nullptr;
  cudaMalloc(&p, numbers.size() * sizeof(float));
  cudaMemcpy(p, numbers.data(), numbers.size() * sizeof(float), cudaMemcpyHostToDevice);
  return p;
}

std::vector<float> numbers(int width, double step) {
  std::vector<float> result(static_cast<std::size_t>(kTime * kHeads * width));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = static_cast<float>(std::sin(step * static_cast<double>(i + 1)));
  }
  return result;
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("no GPU: compiled and linked only");
    return 77;
  }
  std::vector<float> const q = numbers(kHeadDim, 0.7), k = numbers(kHeadDim, 1.3), v = numbers(kValueDim, 0.3);
  std::vector<float> out(v.size());
  float* const device_out = on_device(out);
  attend(on_device(q), on_device(k), on_device(v), device_out, 1, kTime, kHeads, kValueDim, nullptr);
  cudaMemcpy(out.data(), device_out, out.size() * sizeof(float), cudaMemcpyDeviceToHost);
  double worst = 0;
  for (int t = 0; t < kTime; ++t) {
    for (int h = 0; h < kHeads; ++h) {
      for (int c = 0; c < kValueDim; ++c) {
        double sum = 0, weights = 1e-6;
        for (int j = 0; j <= t; ++j) {
          double s = 0;
          for (int i = 0; i < kHeadDim; ++i) {
            s += static_cast<double>(q[(t * kHeads + h) * kHeadDim + i]) * k[(j * kHeads + h) * kHeadDim + i] / 4;
          }
          weights += 1 + s + s * s / 2;
          sum += (1 + s + s * s / 2) * v[(j * kHeads + h) * kValueDim + c];
        }
        worst = std::fmax(worst, std::abs(out[(t * kHeads + h) * kValueDim + c] - sum / weights));
      }
    }
  }
  std::printf("largest error %.2e\n", worst);
  std::puts(worst < 5e-3 ? "attend() is right" : "attend() is WRONG");  // tf32 products
  return worst < 5e-3 ? 0 : 1;
}
