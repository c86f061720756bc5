#include "tests/servers/postgres.hpp"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "tests/servers/loopback.hpp"

namespace penstock::test {

namespace {

// PostgreSQL refuses to run as root: options that start it as its own user, who owns `directory`
// then.
std::vector<std::string> server_privileges(const std::filesystem::path& directory) {
    if (::geteuid() != 0) return {};
    const passwd* user = ::getpwnam("postgres");
    if (!user) throw std::runtime_error("there is no user 'postgres' to run PostgreSQL as");
    if (::chown(directory.c_str(), user->pw_uid, user->pw_gid) != 0)
        throw std::system_error(errno, std::generic_category(), "chown " + directory.string());
    return {"--reuid=" + std::to_string(user->pw_uid), "--regid=" + std::to_string(user->pw_gid),
            "--init-groups"};
}

std::vector<std::string> client(const char* program, const Address& server,
                                const std::vector<std::string>& options) {
    std::string host = host_of(server);
    std::string port;
    if (server.is_unix()) {
        const std::filesystem::path path = server.text().substr(std::string("unix:").size());
        host = path.parent_path().string();
        port = path.extension().string().substr(1);
    } else {
        port = port_of(server);
    }
    std::vector<std::string> argv{program, "--host=" + host, "--port=" + port, "--username",
                                  "postgres"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.emplace_back("postgres");
    return argv;
}

bool is_ready(const Address& server) {
    ChildProcess child({"pg_isready", "--host=" + host_of(server), "--port=" + port_of(server)});
    return child.wait_exit() == 0;
}

}  // namespace

Postgres::Postgres() : Postgres(private_address()) {}

Postgres::Postgres(const Address& address) : Postgres(nullptr, address) {}

Postgres Postgres::replica_of(const Postgres& primary) {
    return replica_of(primary, private_address());
}

Postgres Postgres::replica_of(const Postgres& primary, const Address& address) {
    return {&primary, address};
}

Postgres::Postgres(const Postgres* primary, const Address& address)
    : directory_(std::make_unique<TempDir>()), address_(address) {
    const std::string directory = directory_->path().string();
    const std::string data = directory + "/data";
    const auto privileges = server_privileges(directory_->path());
    std::vector<std::string> argv{PENSTOCK_TEST_INITDB,  "--no-sync",    "--pgdata=" + data,
                                  "--username=postgres", "--auth=trust", "--encoding=UTF8",
                                  "--locale=C"};
    if (primary != nullptr) {
        const auto programs = std::filesystem::canonical(PENSTOCK_TEST_INITDB).parent_path();
        argv = {programs / "pg_basebackup",
                "--no-sync",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--pgdata=" + data,
                "--username=postgres",
                "--host=" + host_of(primary->address()),
                "--port=" + port_of(primary->address())};
    }
    run_program(with_privileges(privileges, argv, directory), 60s);
    serve();
}

void Postgres::serve() {
    const std::string directory = directory_->path().string();
    std::vector<std::string> argv{
        PENSTOCK_TEST_POSTGRES, "-D", directory + "/data", "-k", directory, "-h",
        host_of(address_),      "-p", port_of(address_)};
    for (const char* setting : {"fsync=off", "synchronous_commit=off", "full_page_writes=off",
                                "shared_buffers=16MB", "max_connections=40", "autovacuum=off"})
        argv.insert(argv.end(), {"-c", setting});
    process_ = std::make_unique<ServerProcess>(
        ServerProcess::Command{.argv = std::move(argv),
                               .accepts_on = address_,
                               .stop_signal = SIGQUIT,
                               .privileges = server_privileges(directory_->path()),
                               .directory = directory});
    // It accepts a little earlier than it serves: until then it answers "starting up".
    if (!wait_for([this] { return is_ready(address_); }))
        throw std::runtime_error("PostgreSQL on " + text() + " goes on starting up");
}

void Postgres::promote() const {
    if (psql(unix_address(), "select pg_promote()") != "t\n")
        throw std::runtime_error("PostgreSQL on " + text() + " cannot be promoted");
}

void Postgres::admit(const std::string& rules) const {
    const auto path = directory_->path() / "data" / "pg_hba.conf";
    std::string others;
    {
        std::ifstream file(path);
        others.assign(std::istreambuf_iterator<char>(file), {});
    }
    std::ofstream(path) << rules << others;
    psql(unix_address(), "select pg_reload_conf()");  // TCP may be let in by these rules only
}

void Postgres::require_password(const std::string& user) const {
    admit("host all " + user + " 127.0.0.0/8 scram-sha-256\nlocal all " + user +
          " scram-sha-256\n");
}

void Postgres::use_tls(const std::string& certificate, const std::string& key) const {
    const auto data = directory_->path() / "data";
    for (const auto& [name, text] : {std::pair{"server.crt", certificate}, {"server.key", key}}) {
        std::ofstream(data / name) << text;
        std::filesystem::permissions(data / name, std::filesystem::perms(0600));
        const passwd* user = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
        if (user && ::chown((data / name).c_str(), user->pw_uid, user->pw_gid) != 0)
            throw std::system_error(errno, std::generic_category(), "chown");
    }
    psql(address_, "alter system set ssl = on");
    psql(address_, "select pg_reload_conf()");
    // "show ssl" says "on" also where the files could not be used.
    constexpr const char* encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    if (!wait_for([this] { return psql(address_, encrypted) == "t\n"; }))
        throw std::runtime_error("PostgreSQL on " + text() + " does not take its certificate");
}

Address Postgres::unix_address() const {
    return postgres_socket(directory_->path().string(), address_.port());
}

Address postgres_socket(const std::string& directory, std::uint16_t port) {
    return Address::parse("unix:" + directory + "/.s.PGSQL." + std::to_string(port));
}

std::string psql(const Address& server, const std::string& command) {
    return run_program(client("psql", server,
                              {"--no-psqlrc", "--no-align", "--tuples-only", "--quiet",
                               "--set=ON_ERROR_STOP=1", "--command=" + command}),
                       60s);
}

std::string pgbench(const Address& server, const std::vector<std::string>& options) {
    return run_program(client("pgbench", server, options), 60s);
}

}  // namespace penstock::test
