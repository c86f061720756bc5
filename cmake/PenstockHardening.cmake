# Hardening in every build type. Each flag is probed, so an older or newer compiler drops only what
# it does not know, and says so.
include(CheckCXXCompilerFlag)

foreach(flag IN ITEMS -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
                      -ftrivial-auto-var-init=zero)
  string(MAKE_C_IDENTIFIER "PENSTOCK_HAS${flag}" known)
  check_cxx_compiler_flag("${flag}" ${known})
  if(${known})
    target_compile_options(penstock_flags INTERFACE "${flag}")
  else()
    message(WARNING "The compiler does not know ${flag}: the program is built without it")
  endif()
endforeach()

target_compile_definitions(penstock_flags INTERFACE _GLIBCXX_ASSERTIONS)
# _FORTIFY_SOURCE needs an optimizing build and does not go with the sanitizers' interceptors.
if(NOT PENSTOCK_SANITIZE)
  target_compile_options(penstock_flags INTERFACE
    "$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
endif()
target_link_options(penstock_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
