# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The conformance and gradient tests of tests/cuda compiled by nvcc, for a machine with a GPU: scripts/gpu.sh builds the
# target linattn_gpu and runs what is under gpu/ in the build folder. The same sources, oracle and bounds as on the host
# executor; a part is a family of maps and an element type there. Included with LINATTN_GPU_TESTS, after the tests' own
# folders.
if(NOT LINATTN_HAS_CUDA)
  message(FATAL_ERROR "linattn: LINATTN_GPU_TESTS needs nvcc; put it on PATH, or set CUDACXX")
endif()

set(_tests "${PROJECT_SOURCE_DIR}/tests")
set(_gpu_sources "${_tests}/cuda/variants.cpp" "${_tests}/cuda/device_mirror.cpp")
set_source_files_properties(${_gpu_sources} PROPERTIES LANGUAGE CUDA)

add_custom_target(linattn_gpu)

add_library(linattn_gpu_mirror OBJECT EXCLUDE_FROM_ALL "${_tests}/cuda/device_mirror.cpp")
target_link_libraries(linattn_gpu_mirror PRIVATE linattn_dev linattn::cuda)
target_include_directories(linattn_gpu_mirror PRIVATE "${_tests}" "${_tests}/cuda")
set_target_properties(linattn_gpu_mirror PROPERTIES CUDA_EXTENSIONS OFF)

add_executable(linattn_gpu_primitives EXCLUDE_FROM_ALL "${_tests}/emu/primitives_test.cu")
target_link_libraries(linattn_gpu_primitives PRIVATE linattn_dev linattn::cuda)
target_include_directories(linattn_gpu_primitives PRIVATE "${_tests}")
set_target_properties(linattn_gpu_primitives PROPERTIES
  OUTPUT_NAME primitives RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/gpu" CUDA_EXTENSIONS OFF)
add_dependencies(linattn_gpu linattn_gpu_primitives)

# linattn_add_gpu_variants(<part> <family> <elements> <selector>): as linattn_add_cuda_variants in tests/cuda.
function(linattn_add_gpu_variants part family elements selector)
  string(REPLACE "." "_" variants "linattn_gpu_${part}")
  add_library(${variants} OBJECT EXCLUDE_FROM_ALL "${_tests}/cuda/variants.cpp")
  target_link_libraries(${variants} PRIVATE linattn_dev linattn::cuda)
  target_include_directories(${variants} PRIVATE "${_tests}" "${_tests}/cuda")
  target_compile_definitions(${variants} PRIVATE LINATTN_TEST_FAMILY=visit_${family}_family
    LINATTN_TEST_ELEMENTS=${elements} LINATTN_TEST_SELECTOR=${selector})
  set_target_properties(${variants} PROPERTIES CUDA_EXTENSIONS OFF)
  foreach(source conformance/conformance conformance/continuation gradient/oracle)
    get_filename_component(topic "${source}" NAME)
    string(REPLACE "oracle" "gradient" topic "${topic}")
    set(target linattn_gpu_${topic}.${part})
    add_executable(${target} EXCLUDE_FROM_ALL "${_tests}/${source}_test.cpp")
    target_link_libraries(${target} PRIVATE linattn_doctest_main linattn_dev linattn::cuda linattn_test_support
      ${variants} linattn_gpu_mirror)
    target_include_directories(${target} PRIVATE "${_tests}")
    set_target_properties(${target} PROPERTIES
      OUTPUT_NAME ${topic}.${part} RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/gpu" CXX_EXTENSIONS OFF)
    add_dependencies(linattn_gpu ${target})
  endforeach()
endfunction()

linattn_add_gpu_variants(polynomial.float polynomial 1 small_pieces)
linattn_add_gpu_variants(polynomial.bf16 polynomial 2 small_pieces)
linattn_add_gpu_variants(polynomial.f16 polynomial 4 small_pieces)
linattn_add_gpu_variants(rebased.float rebased 1 small_pieces)
linattn_add_gpu_variants(rebased.bf16 rebased 2 small_pieces)
linattn_add_gpu_variants(rebased.f16 rebased 4 small_pieces)
linattn_add_gpu_variants(other.float other 1 linattn::cuda_tuning)
linattn_add_gpu_variants(other.bf16 other 2 linattn::cuda_tuning)
linattn_add_gpu_variants(other.f16 other 4 linattn::cuda_tuning)
linattn_add_gpu_variants(few.double few 8 small_pieces)
linattn_add_gpu_variants(few.precise few 5 precise_pieces)

foreach(program forward training decode tuning)
  if(TARGET linattn.benchmark.cuda_${program})
    add_dependencies(linattn_gpu linattn.benchmark.cuda_${program})
  endif()
endforeach()
