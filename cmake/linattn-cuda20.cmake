# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# CMake before 3.25.2 does not know nvcc's -std=c++20 and compiles C++17 where C++20 was asked for, without a word: this
# teaches it, in the scope that includes this file. Include it after enable_language(CUDA); it does nothing where CMake
# knows better or CUDA is not enabled. With LINATTN_CUDA20_EXPORT_TO_PARENT it teaches the parent directory too, because
# linattn as a subproject has no sources of its own: its parent's targets are the ones to compile.
if(CMAKE_CUDA_COMPILER_ID STREQUAL "NVIDIA" AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.0
   AND NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_COMPILE_FEATURES cuda_std_20)
  list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
  list(APPEND CMAKE_CUDA_KNOWN_FEATURES cuda_std_20)
  get_property(_linattn_parent DIRECTORY PROPERTY PARENT_DIRECTORY)
  if(_linattn_parent AND LINATTN_CUDA20_EXPORT_TO_PARENT)
    foreach(_linattn_variable IN ITEMS CMAKE_CUDA20_STANDARD_COMPILE_OPTION CMAKE_CUDA20_EXTENSION_COMPILE_OPTION
            CMAKE_CUDA20_COMPILE_FEATURES CMAKE_CUDA_COMPILE_FEATURES CMAKE_CUDA_KNOWN_FEATURES)
      set(${_linattn_variable} "${${_linattn_variable}}" PARENT_SCOPE)
    endforeach()
    unset(_linattn_variable)
  endif()
  unset(_linattn_parent)
endif()
