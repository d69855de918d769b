// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// linattn: linear attention as compile-time policies. Everything that needs only a C++20 compiler: all maps, strategies
// and normalizers, presets, the verbs, and the CPU engines.
#ifndef LINATTN_LINATTN_HPP
#define LINATTN_LINATTN_HPP

#include <linattn/attention.hpp>
#include <linattn/backward.hpp>
#include <linattn/cpu/engine_automatic.hpp>
#include <linattn/cpu/engine_chunkwise.hpp>
#include <linattn/cpu/engine_parallel.hpp>
#include <linattn/cpu/engine_recurrent.hpp>
#include <linattn/cpu/executor.hpp>
#include <linattn/dispatch.hpp>
#include <linattn/feature/elu_plus_one.hpp>
#include <linattn/feature/identity.hpp>
#include <linattn/feature/polynomial.hpp>
#include <linattn/feature/power.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/forward.hpp>
#include <linattn/normalizer/sum.hpp>
#include <linattn/normalizer/unnormalized.hpp>
#include <linattn/presets.hpp>
#include <linattn/state.hpp>
#include <linattn/step.hpp>
#include <linattn/validate.hpp>
#include <linattn/version.hpp>
#include <linattn/workspace.hpp>

#endif
