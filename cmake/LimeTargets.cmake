# lime_add_library(NAME SOURCES ... [CUDA_SOURCES x_cuda.cu ...] [PUBLIC targets] [PRIVATE targets]): one library a
# folder (parallel has two: one without MPI), as lime::NAME. CUDA sources are part of it where LIME_CUDA says so. A
# folder links only the folders below it, so that a forbidden dependency does not link.
function(lime_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;CUDA_SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(lime_${name} STATIC ${ARG_SOURCES})
  lime_add_cuda_sources(lime_${name} ${ARG_CUDA_SOURCES})
  add_library(lime::${name} ALIAS lime_${name})
  set_target_properties(lime_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(lime_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
    $<INSTALL_INTERFACE:include/lime>)
  target_compile_features(lime_${name} PUBLIC cxx_std_20)
  target_link_libraries(lime_${name} PUBLIC ${ARG_PUBLIC}
                        PRIVATE $<BUILD_INTERFACE:lime_warnings> ${ARG_PRIVATE})
  set_property(GLOBAL APPEND PROPERTY LIME_LIBRARIES lime_${name})
endfunction()

# All test programs with label `device`, to build them alone.
if(NOT TARGET device_tests)
  add_custom_target(device_tests)
endif()

set(LIME_TEST_TIME_FACTOR 1 CACHE STRING "Tests may take so many times longer than in a release build")

# lime_add_test(NAME SOURCES ... LIBS ... [CUDA_SOURCES ...] [RANKS 1 2 4] [LABELS device] [TIMEOUT s] [CASE_TIMEOUT s]):
# a GoogleTest program, run once, or once for each number of MPI ranks. Label `device`: has cases for every device of
# the build. Every program has a time limit, and so has each of its cases, so that a hang is a failure with a name.
function(lime_add_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;CASE_TIMEOUT" "SOURCES;CUDA_SOURCES;LIBS;RANKS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_CASE_TIMEOUT)
    set(ARG_CASE_TIMEOUT 120)
  endif()
  math(EXPR timeout "${ARG_TIMEOUT} * ${LIME_TEST_TIME_FACTOR}")
  math(EXPR case_timeout "${ARG_CASE_TIMEOUT} * ${LIME_TEST_TIME_FACTOR}")
  set(environment "${LIME_MPI_ENVIRONMENT};LIME_TEST_LIMIT_S=${case_timeout}")
  add_executable(${name} ${ARG_SOURCES})
  lime_add_cuda_sources(${name} ${ARG_CUDA_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} lime_test_support lime_warnings)
  if("device" IN_LIST ARG_LABELS)
    add_dependencies(device_tests ${name})
  endif()
  if(NOT ARG_RANKS)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} LABELS "${ARG_LABELS}" ENVIRONMENT "${environment}")
  endif()
  list(APPEND environment ${LIME_MPI_LEAKS})
  foreach(ranks IN LISTS ARG_RANKS)
    add_test(NAME ${name}_np${ranks}
             COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_np${ranks} PROPERTIES TIMEOUT ${timeout} PROCESSORS ${ranks}
                         LABELS "${ARG_LABELS}" ENVIRONMENT "${environment}")
  endforeach()
endfunction()

# A leak of MPI's plugins is known by the libraries below them in the stack (tests/sanitizers/lsan.supp), of which
# LeakSanitizer must take all then. It is slow: only where MPI runs. Thread-local memory of unloaded plugins must not be
# looked at: GCC 12's LeakSanitizer crashes there (checkpoint_test_np4).
set(LIME_MPI_LEAKS "ASAN_OPTIONS=fast_unwind_on_malloc=0:intercept_tls_get_addr=0")

# What the scripts export before they start ranks.
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../launch/mpi_environment.sh LIME_MPI_ENVIRONMENT REGEX "^export ")
list(TRANSFORM LIME_MPI_ENVIRONMENT REPLACE "^export " "")
string(REPLACE " " ";" LIME_MPI_ENVIRONMENT "${LIME_MPI_ENVIRONMENT}")
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS launch/mpi_environment.sh)
