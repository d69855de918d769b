// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A backend that computes nothing, so that these files compile the verbs alone.
#ifndef LINATTN_TESTS_REJECT_COMPILE_BACKEND_HPP
#define LINATTN_TESTS_REJECT_COMPILE_BACKEND_HPP

#include <linattn/backward.hpp>
#include <linattn/feature/elementwise.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/forward.hpp>
#include <linattn/step.hpp>
#include <linattn/strategy/parallel.hpp>

struct idle_executor {
  using is_executor = void;
  static constexpr bool reads_host_memory = true;
};

template <linattn::ExecutionStrategy S>
struct linattn::engine<idle_executor, S> {
  static void forward(idle_executor const&, auto const&, auto const&) {}
  static void step(idle_executor const&, auto const&, auto const&, auto const&) {}
  static void backward(idle_executor const&, auto const&, auto const&) {}
};

#endif
