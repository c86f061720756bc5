# Run by CPack over the staged files: what Debian wants of them, and nothing that depends on when they
# were built. The time is that of SOURCE_DATE_EPOCH, as for CPack itself.
set(here "${CMAKE_CURRENT_LIST_DIR}")
set(root "${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
set(doc "${root}/usr/share/doc/penstock")

function(must_run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(COPY_FILE "${here}/../../CHANGELOG.md" "${doc}/changelog")
file(COPY_FILE "${here}/copyright" "${doc}/copyright")
# Debian has a name of its own for it; links of the pages go to ours.
file(REMOVE "${doc}/LICENSE")
file(CREATE_LINK copyright "${doc}/LICENSE" SYMBOLIC)
set(PENSTOCK_DEB_VERSION "${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")
string(REGEX MATCH "<(.*)>" ignored "${CPACK_DEBIAN_PACKAGE_MAINTAINER}")
set(PENSTOCK_MAINTAINER "${CMAKE_MATCH_1}")
# SOURCE_DATE_EPOCH is the time of this, too.
string(TIMESTAMP PENSTOCK_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file("${here}/changelog.in" "${doc}/changelog.Debian" @ONLY)
file(GLOB compressed "${root}/usr/share/man/*/*" "${doc}/changelog" "${doc}/changelog.Debian")
must_run(gzip -9n ${compressed})

file(MAKE_DIRECTORY "${root}/var/log/penstock")
file(MAKE_DIRECTORY "${root}/usr/share/lintian/overrides")
file(COPY_FILE "${here}/lintian-overrides" "${root}/usr/share/lintian/overrides/penstock")
must_run(chmod -R u=rwX,go=rX "${root}")
must_run(find "${root}" -exec touch --no-dereference "--date=@$ENV{SOURCE_DATE_EPOCH}" {} +)
