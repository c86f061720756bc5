# Part of `cmake --install`: `source` is the folder deploy/, `bindir` where programs go. Both kinds of
# file() honour DESTDIR, INSTALL by itself.
set(units "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")
set(root "$ENV{DESTDIR}")

# The unit names the program where it really is.
file(READ "${source}/systemd/penstock.service" unit)
string(REPLACE "/usr/bin/penstock" "${CMAKE_INSTALL_PREFIX}/${bindir}/penstock" unit "${unit}")
file(WRITE "${root}${units}/penstock.service" "${unit}")
file(INSTALL "${source}/systemd/penstock.socket" DESTINATION "${units}")

file(INSTALL "${source}/package/penstock.logrotate" DESTINATION /etc/logrotate.d RENAME penstock)
# An existing configuration is somebody's.
if(NOT EXISTS "${root}/etc/penstock/penstock.toml")
  file(INSTALL "${source}/package/penstock.toml" DESTINATION /etc/penstock)
endif()
