# cmake -DPAGE=index.html -DSTYLE=style.css -DSCRIPT=a.js;b.js -DOUTPUT=page.cpp -P EmbedDashboard.cmake
#
# Makes one page of the dashboard's files and writes it as a C++ source. SCRIPT is a list: the files
# are one module, in this order. The page keeps its two @NONCE@: the server puts one number, used
# once, in their places with each answer.
cmake_minimum_required(VERSION 3.25)

foreach(input IN ITEMS PAGE STYLE SCRIPT OUTPUT)
  if(NOT DEFINED ${input})
    message(FATAL_ERROR "EmbedDashboard.cmake: -D${input}=... is missing")
  endif()
endforeach()

# How often `needle` stands in `text` must be `wanted`.
function(require_count text needle wanted where)
  set(count 0)
  string(FIND "${text}" "${needle}" at)
  while(NOT at EQUAL -1)
    math(EXPR count "${count} + 1")
    math(EXPR at "${at} + 1")
    string(SUBSTRING "${text}" ${at} -1 text)
    string(FIND "${text}" "${needle}" at)
  endwhile()
  if(NOT count EQUAL wanted)
    message(FATAL_ERROR "${where}: '${needle}' must stand there ${wanted} times, not ${count}")
  endif()
endfunction()

file(READ "${PAGE}" page)
file(READ "${STYLE}" style)
set(script "")
foreach(file IN LISTS SCRIPT)
  file(READ "${file}" part)
  string(APPEND script "${part}\n")
endforeach()

require_count("${page}" "@NONCE@" 2 "${PAGE}")
require_count("${page}" "@STYLE@" 1 "${PAGE}")
require_count("${page}" "@SCRIPT@" 1 "${PAGE}")
foreach(part IN ITEMS style script)
  # These would end the element early, or be taken for a mark.
  foreach(needle IN ITEMS "</${part}" "<!--" "@NONCE@" "@STYLE@" "@SCRIPT@")
    require_count("${${part}}" "${needle}" 0 "the ${part} of the dashboard")
  endforeach()
endforeach()
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@SCRIPT@" "${script}" page "${page}")

# Characters one by one: compilers need not take string literals of this length.
set(whole "${OUTPUT}.html")
file(WRITE "${whole}" "${page}")
file(READ "${whole}" bytes HEX)
string(LENGTH "${bytes}" length)
math(EXPR length "${length} / 2")
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
string(REPEAT "......." 16 line)
string(REGEX REPLACE "(${line})" "\\1\n    " bytes "${bytes}")
file(WRITE "${OUTPUT}" "// Made by cmake/EmbedDashboard.cmake of admin/dashboard/.
#include \"admin/dashboard/page.hpp\"

namespace penstock::admin {
namespace {

constexpr char bytes[] = {
    ${bytes}
};

}  // namespace

constinit const std::string_view dashboard_page{bytes, ${length}};

}  // namespace penstock::admin
")
