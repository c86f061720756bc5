target_compile_options(penstock_flags INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Wnon-virtual-dtor -Woverloaded-virtual
  -Wformat=2 -Werror=format-security)
if(PENSTOCK_WERROR)
  target_compile_options(penstock_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these inside inlined library code at -O2 and -O3 (GCC PR 105562, 105329, 107852).
  target_compile_options(penstock_flags INTERFACE
    -Wno-error=maybe-uninitialized -Wno-error=restrict -Wno-error=array-bounds
    -Wno-error=stringop-overflow -Wno-error=stringop-overread)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's own stable_sort uses what C++20 deprecates, and clang says so at its user.
  target_compile_options(penstock_flags INTERFACE -Wno-error=deprecated-declarations)
endif()
