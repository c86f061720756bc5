#include "tests/servers/mariadb.hpp"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "tests/servers/loopback.hpp"

namespace penstock::test {

namespace {

// As for PostgreSQL: not as root.
std::vector<std::string> server_privileges(const std::string& directory) {
    if (::geteuid() != 0) return {};
    const passwd* user = ::getpwnam("mysql");
    if (!user) throw std::runtime_error("there is no user 'mysql' to run MariaDB as");
    if (::chown(directory.c_str(), user->pw_uid, user->pw_gid) != 0)
        throw std::system_error(errno, std::generic_category(), "chown " + directory);
    return {"--reuid=" + std::to_string(user->pw_uid), "--regid=" + std::to_string(user->pw_gid),
            "--init-groups"};
}

}  // namespace

MariaDb::MariaDb() : directory_(std::make_unique<TempDir>()), address_(private_address()) {
    const std::string directory = directory_->path().string();
    const std::string data = directory + "/data";
    const auto privileges = server_privileges(directory);
    run_program(with_privileges(privileges,
                                {"mariadb-install-db", "--no-defaults", "--datadir=" + data,
                                 "--auth-root-authentication-method=normal", "--skip-test-db",
                                 "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M"},
                                directory),
                60s);
    process_ = std::make_unique<ServerProcess>(ServerProcess::Command{
        .argv = {"mariadbd", "--no-defaults", "--datadir=" + data,
                 "--bind-address=" + host_of(address_), "--port=" + port_of(address_),
                 "--socket=" + socket(), "--pid-file=" + directory + "/pid",
                 "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M",
                 "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"},
        .accepts_on = address_,
        .stop_signal = SIGKILL,
        .privileges = privileges,
        .directory = directory});
}

void MariaDb::execute(const std::string& sql) const {
    run_program(
        {"mariadb", "--no-defaults", "--socket=" + socket(), "--user=root", "--execute=" + sql});
}

}  // namespace penstock::test
