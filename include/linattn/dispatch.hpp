// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a run-time number to a compile-time one: the caller's list is the exact set that is instantiated.
#ifndef LINATTN_DISPATCH_HPP
#define LINATTN_DISPATCH_HPP

#include <linattn/core/config.hpp>
#include <linattn/core/element.hpp>
#include <linattn/core/error.hpp>

#include <type_traits>

namespace linattn::inline LINATTN_ABI {

/// A list of compile-time integers.
template <int... Values>
struct ints {};

/// A list of element types.
template <Element... Types>
struct elements {};

/// Calls f(std::integral_constant<int, value>{}) for the member of the list that equals value.
/// Throws  shape_error that lists what is instantiated, if none does.
template <int First, int... Rest, class F>
void dispatch(char const* what, int value, ints<First, Rest...>, F&& f) {
  auto const try_one = [&](auto candidate) {
    if (candidate.value != value) {
      return false;
    }
    f(candidate);
    return true;
  };
  if (try_one(std::integral_constant<int, First>{}) || (try_one(std::integral_constant<int, Rest>{}) || ...)) {
    return;
  }
  diagnostic report("dispatch");
  report.fail(what, " = ", value, " is not instantiated; this call lists {", First, detail::next_in_list{Rest}...,
              "}; add it to the list");
  detail::raise_unless_ok(report);
}

/// Calls f(std::type_identity<T>{}) for the type of the list whose kind is given.
/// Throws  shape_error if the list has none.
template <Element... Types, class F>
void dispatch(element_kind kind, elements<Types...>, F&& f) {
  auto const try_one = [&](auto candidate) {
    if (element_kind_of<typename decltype(candidate)::type> != kind) {
      return false;
    }
    f(candidate);
    return true;
  };
  if ((try_one(std::type_identity<Types>{}) || ...)) {
    return;
  }
  diagnostic report("dispatch");
  report.fail("the element type is not instantiated; this call lists ", static_cast<int>(sizeof...(Types)),
              " element types; add it to the list");
  detail::raise_unless_ok(report);
}

}  // namespace linattn::inline LINATTN_ABI

#endif
