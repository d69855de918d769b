// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A backend of this test's own: it counts the calls that pass validation and computes nothing. So a reject test sees that
// no engine ran, and the customisation point is used as a user would.
#ifndef LINATTN_TESTS_REJECT_RECORDING_EXECUTOR_HPP
#define LINATTN_TESTS_REJECT_RECORDING_EXECUTOR_HPP

#include "good_call.hpp"

#include <linattn/backward.hpp>
#include <linattn/feature/rebased.hpp>
#include <linattn/feature/taylor.hpp>
#include <linattn/forward.hpp>
#include <linattn/normalizer/unnormalized.hpp>
#include <linattn/step.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace linattn_test {

struct recording_executor {
  using is_executor = void;
  static constexpr bool reads_host_memory = true;
  int* calls;
};

}  // namespace linattn_test

template <linattn::ExecutionStrategy S>
struct linattn::engine<linattn_test::recording_executor, S> {
  static void forward(linattn_test::recording_executor const& exec, auto const&, auto const&) { ++*exec.calls; }
  static void step(linattn_test::recording_executor const& exec, auto const&, auto const&, auto const&) {
    ++*exec.calls;
  }
  static void backward(linattn_test::recording_executor const& exec, auto const&, auto const&) { ++*exec.calls; }
};

namespace linattn_test {

using based = linattn::attention<linattn::taylor<head_dim>>;
using rebased = linattn::attention<linattn::rebased<head_dim>>;
constexpr std::int64_t features = based::map_type::feature_dim;

/// Memory for any of the small views in these tests, in pieces that lie far apart.
class pieces {
 public:
  float* operator[](int i) { return memory_.data() + static_cast<std::size_t>(i) * size; }
  static constexpr std::size_t size = 8192;

 private:
  std::vector<float> memory_ = std::vector<float>(size * 24, 0.25F);
};

/// Refused with a message that begins so, by validate() and by the verb alike, with no engine called.
template <class Verb>
void check_refused(linattn::diagnostic const& report, std::string const& beginning, Verb&& verb) {
  CAPTURE(beginning);
  std::string const text = report.message();
  CAPTURE(text);
  int calls = 0;
  CHECK(text.substr(0, beginning.size()) == beginning);
  bool thrown = false;
  try {
    verb(recording_executor{&calls});
  } catch (linattn::shape_error const& error) {
    thrown = true;
    std::string const thrown_text = error.what();
    CAPTURE(thrown_text);
    CHECK(thrown_text.substr(0, beginning.size()) == beginning);
    CHECK(thrown_text.find("; ") != std::string::npos);
  }
  CHECK(thrown);
  CHECK(calls == 0);
}

/// As above, for what only the verb can see, because it lies behind a pointer.
template <class Verb>
void check_verb_refuses(std::string const& beginning, Verb&& verb) {
  linattn::diagnostic report("");
  CAPTURE(beginning);
  int calls = 0;
  try {
    verb(recording_executor{&calls});
    CHECK_MESSAGE(false, "accepted");
  } catch (linattn::shape_error const& error) {
    std::string const text = error.what();
    CHECK(text.substr(0, beginning.size()) == beginning);
  }
  CHECK(calls == 0);
}

template <class Verb>
void check_accepted(linattn::diagnostic const& report, Verb&& verb) {
  int calls = 0;
  CHECK(std::string(report.message()).empty());
  CHECK_NOTHROW(verb(recording_executor{&calls}));
  CHECK(calls == 1);
}

}  // namespace linattn_test

#endif
