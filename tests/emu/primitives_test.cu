// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The same cases on a GPU: run this before anything else there. Exit code 77: no GPU.
#include "emu/primitive_cases.hpp"

#include <cstdio>
#include <exception>

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: no GPU on this machine");
    return 77;
  }
  int failures = 0;
  auto const cases = linattn_test::primitive_cases();
  for (auto const& primitive : cases) {
    linattn_test::finding wrong;
    try {
      wrong = primitive.check();
    } catch (std::exception const& problem) {
      wrong = problem.what();
    }
    failures += wrong.empty() ? 0 : 1;
    std::printf("%-6s %s%s%s\n", wrong.empty() ? "ok" : "FAILED", primitive.name, wrong.empty() ? "" : ": ",
                wrong.c_str());
  }
  std::printf("%d of %d failed\n", failures, static_cast<int>(cases.size()));
  return failures == 0 ? 0 : 1;
}
