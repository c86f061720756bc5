# penstock_module(NAME HEADERS ... SOURCES ... [PUBLIC ...] [PRIVATE ...])
#
# One static library per module, with exact links: PUBLIC for what its headers name, PRIVATE for what
# only its sources use. Every header is verified to compile alone (VERIFY_INTERFACE_HEADER_SETS).
function(penstock_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;SOURCES;PUBLIC;PRIVATE")
  set(target penstock_${name})
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(penstock::${name} ALIAS ${target})
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}"
                                  FILES ${arg_HEADERS})
  target_link_libraries(${target} PUBLIC penstock_flags ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
endfunction()
