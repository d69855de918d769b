// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A consumer of linattn: the README's attend(), and a check of every number it gives. The way linattn is found is not
// here but in the way this file is compiled (consume.py). To be linked into one program several times, a unit renames
// its functions: -Dattend=... -DCONSUMER_CHECK=... -DCONSUMER_NO_MAIN.
#include "attend.cpp"  // quoted from README.md by consume.py

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

#ifndef CONSUMER_CHECK
#define CONSUMER_CHECK attend_is_right
#endif

namespace {

constexpr int kBatch = 2, kTime = 70, kHeads = 3, kHeadDim = 16, kValueDim = 5;

std::size_t at(int batch, int time, int head, int width, int channel) {
  return static_cast<std::size_t>(((batch * kTime + time) * kHeads + head) * width + channel);
}

std::vector<float> numbers(int width, double step) {
  std::vector<float> result(at(kBatch, 0, 0, width, 0));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = static_cast<float>(std::sin(step * static_cast<double>(i + 1)));
  }
  return result;
}

// The definition, in double: out_t = sum_j w_tj v_j / (sum_j w_tj + eps), w = 1 + s + s^2 / 2, s = q.k / 4.
double definition(std::vector<float> const& q, std::vector<float> const& k, std::vector<float> const& v, int batch,
                  int time, int head, int value) {
  double sum = 0, weights = 0;
  for (int past = 0; past <= time; ++past) {
    double s = 0;
    for (int i = 0; i < kHeadDim; ++i) {
      s += static_cast<double>(q[at(batch, time, head, kHeadDim, i)]) * k[at(batch, past, head, kHeadDim, i)] / 4;
    }
    double const weight = 1 + s + s * s / 2;
    weights += weight;
    sum += weight * v[at(batch, past, head, kValueDim, value)];
  }
  return sum / (weights + 1e-6);
}

}  // namespace

bool CONSUMER_CHECK() {
  std::vector<float> const q = numbers(kHeadDim, 0.7), k = numbers(kHeadDim, 1.3), v = numbers(kValueDim, 0.3);
  std::vector<float> const out = attend(q, k, v, kBatch, kTime, kHeads, kValueDim);
  double worst = 0;
  bool all_close = true;
  for (int batch = 0; batch < kBatch; ++batch) {
    for (int time = 0; time < kTime; ++time) {
      for (int head = 0; head < kHeads; ++head) {
        for (int value = 0; value < kValueDim; ++value) {
          double const got = static_cast<double>(out[at(batch, time, head, kValueDim, value)]);
          double const error = std::abs(got - definition(q, k, v, batch, time, head, value));
          worst = error > worst ? error : worst;
          all_close = all_close && error < 2e-5;  // also false for NaN
        }
      }
    }
  }
  std::printf("largest error %.2e\n", worst);
  return all_close;
}

#ifdef CONSUMER_SECOND_CHECK
bool CONSUMER_SECOND_CHECK();
#endif

#ifndef CONSUMER_NO_MAIN
int main() {
  bool right = CONSUMER_CHECK();
#ifdef CONSUMER_SECOND_CHECK
  right = CONSUMER_SECOND_CHECK() && right;
#endif
  std::puts(right ? "attend() is right" : "attend() is WRONG");
  return right ? 0 : 1;
}
#endif
