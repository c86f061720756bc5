# Options of the build and the one interface target that carries compile and link flags.
# Modules link against penstock_flags; nothing is set globally.
option(PENSTOCK_BUILD_TESTS "Build the test suites" ON)
option(PENSTOCK_BUILD_BENCH "Build the load generator and the micro-benchmarks" ON)
option(PENSTOCK_BUILD_FUZZERS "Build the libFuzzer targets (clang only)" OFF)
option(PENSTOCK_WERROR "Treat warnings as errors" ON)
option(PENSTOCK_COVERAGE "Instrument for coverage" OFF)
set(PENSTOCK_SANITIZE "" CACHE STRING "Sanitizers: address,undefined | thread | empty")

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

find_program(PENSTOCK_CCACHE ccache)
if(PENSTOCK_CCACHE)
  # What one checkout has compiled serves all others on this machine, wherever they lie.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
    "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${PENSTOCK_CCACHE}")
endif()

find_package(Threads REQUIRED)

add_library(penstock_flags INTERFACE)
target_link_libraries(penstock_flags INTERFACE Threads::Threads)

include(PenstockWarnings)
include(PenstockHardening)
include(PenstockSanitizers)
