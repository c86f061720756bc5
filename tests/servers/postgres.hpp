#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A new PostgreSQL cluster in a private directory, on TCP and on a unix socket, that writes
/// without waiting for the disk. When the test runs as root, the server runs as the user postgres.
class Postgres {
public:
    Postgres();
    /// On an address that the test knows to be free.
    explicit Postgres(const Address& address);
    /// A streaming replica of `primary`, which must outlive it.
    static Postgres replica_of(const Postgres& primary);
    static Postgres replica_of(const Postgres& primary, const Address& address);

    /// A replica becomes a primary.
    void promote() const;
    /// Its end without a word, and the start afterwards.
    void kill() { process_->kill(); }
    void start() { process_->start(); }
    /// From now on these lines of pg_hba.conf hold before all others.
    void admit(const std::string& rules) const;
    /// From now on `user` has to show a password, by SCRAM.
    void require_password(const std::string& user) const;

    /// From now on it speaks TLS, with these, to whoever asks for it.
    void use_tls(const std::string& certificate, const std::string& key) const;

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }
    [[nodiscard]] Address unix_address() const;

private:
    Postgres(const Postgres* primary, const Address& address);
    void serve();

    std::unique_ptr<TempDir> directory_;
    Address address_;
    std::unique_ptr<ServerProcess> process_;
};

/// The unix address in `directory` that PostgreSQL's clients look for when told `port`.
[[nodiscard]] Address postgres_socket(const std::string& directory, std::uint16_t port);

/// What psql prints for one command, unaligned and without headings, over a connection to `server`
/// (TCP, or a postgres_socket). Throws std::runtime_error when anything fails.
std::string psql(const Address& server, const std::string& command);

/// Runs pgbench with `options` on its own tables; what it prints.
std::string pgbench(const Address& server, const std::vector<std::string>& options);

}  // namespace penstock::test
