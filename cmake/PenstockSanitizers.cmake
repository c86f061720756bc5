if(PENSTOCK_SANITIZE)
  target_compile_options(penstock_flags INTERFACE
    -fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
  # Pools and free lists become new/delete, so that the sanitizers see every use after free.
  target_compile_definitions(penstock_flags INTERFACE PENSTOCK_NO_POOLS PENSTOCK_INSTRUMENTED
    BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING)
  if(PENSTOCK_SANITIZE MATCHES "undefined")
    # The vptr check probes memory through a pipe: without descriptors left, as some tests have it, every
    # object looks broken to it.
    target_compile_options(penstock_flags INTERFACE -fno-sanitize=vptr)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With the address sanitizer GCC 12 takes fmt's compile-time format checks for uninitialized reads.
    target_compile_options(penstock_flags INTERFACE -Wno-error=uninitialized)
  endif()
  if(PENSTOCK_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio's std_fenced_block uses fences that GCC's TSan warns about (chriskohlhoff/asio#1193).
    target_compile_options(penstock_flags INTERFACE -Wno-tsan)
  endif()
endif()
if(PENSTOCK_COVERAGE)
  target_compile_definitions(penstock_flags INTERFACE PENSTOCK_INSTRUMENTED)  # no sandbox
  target_compile_options(penstock_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(penstock_flags INTERFACE --coverage)
endif()
