# LIME_CUDA: where *_cuda.cu are compiled, and by what.
#   ON        by nvcc, for GPUs; needs a CUDA toolkit to build, and neither GPU, driver nor CUDA libraries to start
#   EMULATED  by the C++ compiler, for the emulator of runtime/emulator/emulator.h; needs no CUDA toolkit
#   AUTO      ON where nvcc is found, else OFF
#   OFF       not at all; device cuda is refused by name
# ON and EMULATED define LIME_WITH_CUDA everywhere, and LIME_CUDA_EMULATED is seen by .cu files alone: ordinary
# sources compile alike in both.
if(NOT LIME_CUDA MATCHES "^(AUTO|ON|OFF|EMULATED)$")
  message(FATAL_ERROR "LIME_CUDA: found '${LIME_CUDA}', expected AUTO, ON, OFF or EMULATED")
endif()

set(LIME_CUDA_BACKEND ${LIME_CUDA})
if(LIME_CUDA MATCHES "^(AUTO|ON)$")
  find_program(LIME_NVCC nvcc HINTS ${CUDAToolkit_ROOT}/bin $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(LIME_NVCC)
    set(LIME_CUDA_BACKEND ON)
  elseif(LIME_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LIME_CUDA=ON: no nvcc on PATH or in /usr/local/cuda/bin; install a CUDA toolkit (12.4 or later), "
                        "or name it with -DCUDAToolkit_ROOT=DIR or -DLIME_NVCC=FILE")
  else()
    set(LIME_CUDA_BACKEND OFF)
  endif()
endif()

if(LIME_CUDA_BACKEND STREQUAL "ON")
  set(CMAKE_CUDA_COMPILER "${LIME_NVCC}")
  # Ampere and Hopper, and later ones from PTX.
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual" CACHE STRING "GPU architectures")
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  # CMake up to 3.25 does not know how nvcc spells C++20.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  set(LIME_CUDA_SUMMARY "${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(LIME_CUDA_BACKEND STREQUAL "EMULATED")
  set(LIME_CUDA_SUMMARY "emulated on the CPU, for tests")
else()
  set(LIME_CUDA_SUMMARY "off")
endif()
if(NOT LIME_CUDA_BACKEND STREQUAL "OFF")
  add_compile_definitions(LIME_WITH_CUDA)
endif()
# What has the compiler call the race checker, in kernels alone: calls of memset in the place of loops would pass it by.
set(LIME_RACE_CHECK_OPTIONS)
if(LIME_RACE_CHECK)
  if(NOT LIME_CUDA_BACKEND STREQUAL "EMULATED")
    message(FATAL_ERROR "LIME_RACE_CHECK: found LIME_CUDA=${LIME_CUDA}, expected EMULATED")
  endif()
  add_compile_definitions(LIME_RACE_CHECK)
  set(LIME_RACE_CHECK_OPTIONS -g1 -fsanitize=thread --param=tsan-instrument-func-entry-exit=0 -fno-tree-loop-distribute-patterns)
  string(APPEND LIME_CUDA_SUMMARY ", with the race checker")
endif()
# Warpgroup products exist in code for sm_90a alone: runtime/wgmma_cuda.cu.
if(LIME_CUDA_BACKEND STREQUAL "ON" AND CMAKE_CUDA_ARCHITECTURES MATCHES "90a")
  add_compile_definitions($<$<COMPILE_LANGUAGE:CUDA>:LIME_CUDA_SM90A>)
endif()

# Adds .cu files to a target, as this build compiles them. None where the backend is off.
function(lime_add_cuda_sources target)
  if(LIME_CUDA_BACKEND STREQUAL "OFF")
    return()
  endif()
  target_sources(${target} PRIVATE ${ARGN})
  if(LIME_CUDA_BACKEND STREQUAL "EMULATED")
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_DEFINITIONS LIME_CUDA_EMULATED
                                COMPILE_OPTIONS "-Wno-unknown-pragmas;${LIME_RACE_CHECK_OPTIONS}")  # unroll
  else()
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
  endif()
endfunction()
