# Part of `cmake --install`: `source` is the folder deploy/, `manual` has what was made of the program's
# own tables, `bindir` and `datadir` are where programs and data go. Of the two kinds of file() INSTALL
# honours DESTDIR by itself.
set(units "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")
set(root "$ENV{DESTDIR}")

# The unit names the program where it really is.
file(READ "${source}/systemd/penstock.service" unit)
string(REPLACE "/usr/bin/penstock" "${CMAKE_INSTALL_PREFIX}/${bindir}/penstock" unit "${unit}")
file(WRITE "${root}${units}/penstock.service" "${unit}")
file(INSTALL "${source}/systemd/penstock.socket" DESTINATION "${units}")

# Debian's packages have a place of their own for it.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(zsh vendor-completions)
else()
  set(zsh site-functions)
endif()
file(INSTALL "${manual}/_penstock" DESTINATION "${CMAKE_INSTALL_PREFIX}/${datadir}/zsh/${zsh}")

file(INSTALL "${source}/package/penstock.logrotate" DESTINATION /etc/logrotate.d RENAME penstock)
# An existing configuration is somebody's.
if(NOT EXISTS "${root}/etc/penstock/penstock.toml")
  file(INSTALL "${source}/package/penstock.toml" DESTINATION /etc/penstock)
endif()
