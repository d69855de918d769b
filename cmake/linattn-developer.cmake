# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# What linattn's own tests, benchmarks and examples are built with. Never part of an exported target.
#
#   linattn_dev                          interface target: warnings, and -march=native unless told otherwise
#   linattn_add_test(NAME ... SOURCES ...)     a doctest executable, registered with ctest
#   linattn_add_fuzzer(NAME ... SOURCES ...)   a libFuzzer executable, registered with ctest where it can be built
include_guard(GLOBAL)

option(LINATTN_WERROR "Warnings are errors in linattn's own translation units" OFF)
option(LINATTN_NATIVE "Compile tests, benchmarks and examples for this machine's instruction set" ON)
option(LINATTN_GPU_TESTS "Tests and benchmarks for a machine with a GPU (target linattn_gpu; scripts/gpu.sh)" OFF)
set(LINATTN_SANITIZE "" CACHE STRING "Sanitizers for tests: empty, 'address,undefined' or 'thread'")
set_property(CACHE LINATTN_SANITIZE PROPERTY STRINGS "" "address,undefined" "thread")
set(LINATTN_TEST_PREFIX "" CACHE STRING "Put before every ctest name: several build folders can share a ctest run")

# A developer who names no build type wants speed: the engine at -O0 is a hundred times slower.
get_property(_linattn_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(PROJECT_IS_TOP_LEVEL AND NOT _linattn_multi_config AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

add_library(linattn_dev INTERFACE)
target_link_libraries(linattn_dev INTERFACE linattn::linattn)
# Not -Wpedantic for nvcc: the code that it generates is not pedantic.
target_compile_options(linattn_dev INTERFACE
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wsign-conversion>"
  "$<$<COMPILE_LANG_AND_ID:CXX,MSVC>:/W4;/permissive-;/Zc:preprocessor>"
  "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Xcompiler=-Wall,-Wextra,-Wshadow;-Wreorder>")
if(LINATTN_WERROR)
  target_compile_options(linattn_dev INTERFACE
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Werror>" "$<$<COMPILE_LANG_AND_ID:CXX,MSVC>:/WX>"
    "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Werror=all-warnings;-Xcompiler=-Werror>")
endif()
if(LINATTN_NATIVE)
  target_compile_options(linattn_dev INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-march=native>")
endif()
if(LINATTN_SANITIZE)
  set(_linattn_sanitize -fsanitize=${LINATTN_SANITIZE} -fno-omit-frame-pointer)
  if(LINATTN_SANITIZE MATCHES "undefined")
    list(APPEND _linattn_sanitize -fno-sanitize-recover=undefined)   # a report must fail the test
  endif()
  target_compile_options(linattn_dev INTERFACE ${_linattn_sanitize})
  target_link_options(linattn_dev INTERFACE ${_linattn_sanitize})
endif()

# linattn_add_test(NAME <folder.topic> SOURCES <file>... [LABELS <label>...] [LINK <target>...] [ARGS <option>...]
#                  [TIMEOUT <seconds>])
#
# Builds a doctest executable from SOURCES (doctest's main is compiled once and linked in: only
# `#include <doctest/doctest.h>`), with linattn_dev's warnings and instruction set, `tests/` on the include path
# (`#include "support/oracle.hpp"`), and at least -O2 in a Debug build: asserts stay on and the numbers come soon.
# The executable and the ctest are called NAME; the first part of NAME is a label too.
# ARGS are doctest's options, such as --test-case-exclude.
# Label `threads` marks what runs several threads: a build with LINATTN_SANITIZE=thread has only those.
# TIMEOUT is 300 seconds by default, five times that under a sanitizer.
function(linattn_add_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT" "SOURCES;LABELS;LINK;ARGS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES)
    message(FATAL_ERROR "linattn_add_test: got '${ARGN}'; needs NAME and SOURCES, takes LABELS, LINK, ARGS and TIMEOUT")
  endif()
  if(NOT arg_NAME MATCHES "^[a-z0-9_]+(\\.[a-z0-9_]+)*$")
    message(FATAL_ERROR "linattn_add_test: NAME is '${arg_NAME}'; use lower case words and dots, as core.dispatch")
  endif()
  if(LINATTN_SANITIZE STREQUAL "thread" AND NOT "threads" IN_LIST arg_LABELS)
    return()
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(LINATTN_SANITIZE)
    math(EXPR arg_TIMEOUT "5 * ${arg_TIMEOUT}")
  endif()
  string(REGEX REPLACE "\\..*" "" folder "${arg_NAME}")

  set(target linattn.test.${arg_NAME})
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE linattn_doctest_main linattn_dev ${arg_LINK})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_options(${target} PRIVATE "$<$<AND:$<CONFIG:Debug>,$<CXX_COMPILER_ID:GNU,Clang,AppleClang>>:-O2>")
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${arg_NAME} CXX_EXTENSIONS OFF)
  add_test(NAME ${LINATTN_TEST_PREFIX}${arg_NAME} COMMAND ${target} ${arg_ARGS})
  set_tests_properties(${LINATTN_TEST_PREFIX}${arg_NAME} PROPERTIES
    LABELS "${folder};${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()

# linattn_add_fuzzer(NAME <fuzz.topic> SOURCES <file>... [ARGS <libFuzzer option>...])
#
# Builds a libFuzzer executable from SOURCES (which define LLVMFuzzerTestOneInput) and registers a run of
# LINATTN_FUZZ_SECONDS as a ctest. libFuzzer comes with clang and is worth little without AddressSanitizer, so the
# fuzzers exist in a clang build with LINATTN_SANITIZE=address,undefined (preset asan) and nowhere else.
set(LINATTN_FUZZ_SECONDS 60 CACHE STRING "How long each fuzzer runs as a ctest")
function(linattn_add_fuzzer)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;ARGS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES)
    message(FATAL_ERROR "linattn_add_fuzzer: got '${ARGN}'; needs NAME and SOURCES, takes ARGS")
  endif()
  if(NOT (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND LINATTN_SANITIZE MATCHES "address"))
    return()
  endif()
  set(target linattn.${arg_NAME})
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE linattn_dev)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_options(${target} PRIVATE -fsanitize=fuzzer -O2)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${arg_NAME} CXX_EXTENSIONS OFF)
  add_test(NAME ${LINATTN_TEST_PREFIX}${arg_NAME}
    COMMAND ${target} -max_total_time=${LINATTN_FUZZ_SECONDS} -print_final_stats=1 ${arg_ARGS})
  math(EXPR timeout "${LINATTN_FUZZ_SECONDS} + 120")
  set_tests_properties(${LINATTN_TEST_PREFIX}${arg_NAME} PROPERTIES LABELS fuzz TIMEOUT ${timeout})
endfunction()
