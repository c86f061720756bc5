#include "health/probe/postgres_probe.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <libpq-fe.h>

#include "config/to_backends.hpp"
#include "health/probe/detail.hpp"
#include "health/probe/fd_wait.hpp"

namespace penstock::health {

namespace asio = boost::asio;

namespace {

struct Finish {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct Clear {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, Finish>;
using QueryResult = std::unique_ptr<PGresult, Clear>;

struct Location {
    std::string host;
    std::string port;
    bool is_numeric = false;
};

std::optional<Location> locate(const Endpoint& to) {
    if (!to.is_unix()) {
        std::string host = to.to_string();
        host.resize(host.rfind(':'));
        if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
        return Location{std::move(host), std::to_string(to.port()), true};
    }
    static constexpr std::string_view name = "/.s.PGSQL.";
    const std::string path = (to.is_abstract() ? "@" : "") + to.path();
    const auto at = path.rfind(name);
    if (at == std::string::npos || at + name.size() == path.size()) return std::nullopt;
    return Location{path.substr(0, at), path.substr(at + name.size()), false};
}

constexpr const char* no_file = "/dev/null/none";

using Options = std::vector<std::pair<const char*, std::string>>;

// The library looks for files in the home directory where none are given.
void add_tls(Options& options, const config::Upstream& upstream) {
    static const config::UpstreamTls believing{.verify = false};
    const config::UpstreamTls& tls = config::checks_verify(upstream) ? *upstream.tls : believing;
    const auto or_none = [](const std::string& file) { return file.empty() ? no_file : file; };
    const auto& own = tls.client_certificate;
    const bool is_1_3 = tls.min_version == config::TlsVersion::tls13;
    options.emplace_back("sslmode", !config::checks_speak_tls(upstream) ? "disable"
                                    : tls.verify                        ? "verify-full"
                                                                        : "require");
    options.emplace_back("sslrootcert", tls.verify ? or_none(tls.ca) : no_file);
    options.emplace_back("sslcrl", tls.verify ? or_none(tls.crl) : no_file);
    options.emplace_back("sslcert", or_none(own.cert));
    options.emplace_back("sslkey", or_none(own.key.empty() ? own.cert : own.key));
    options.emplace_back("ssl_min_protocol_version", is_1_3 ? "TLSv1.3" : "TLSv1.2");
}

// What the library would take from elsewhere (files, the environment) is given here.
Connection start(const Location& at, const std::string& verify_name,
                 const config::Upstream& upstream, const std::string& password) {
    const config::HealthCheck& check = upstream.health_check;
    const std::string user = check.user.empty() ? "postgres" : check.user;
    Options options{{"port", at.port},
                    {"user", user},
                    {"dbname", check.database.empty() ? user : check.database},
                    {"password", password},
                    {"passfile", no_file},
                    {"gssencmode", "disable"},
                    {"target_session_attrs", "any"},
                    {"application_name", "penstock-check"}};
    if (at.is_numeric) options.emplace_back("hostaddr", at.host);
    // With `hostaddr` this is only whom the certificate has to name.
    options.emplace_back("host", at.is_numeric ? verify_name : at.host);
    add_tls(options, upstream);
    std::vector<const char*> keys;
    std::vector<const char*> values;
    for (const auto& [key, value] : options) {
        keys.push_back(key);
        values.push_back(value.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    return Connection(PQconnectStartParams(keys.data(), values.data(), 0));
}

// One line of the library's message, which may have several.
std::string words_of(const char* message) {
    std::string_view text(message == nullptr ? "" : message);
    while (text.ends_with('\n')) text.remove_suffix(1);
    if (const auto fatal = text.find("FATAL:"); fatal != text.npos) text.remove_prefix(fatal);
    return std::string(text.substr(0, text.find('\n')));
}

class Session {
public:
    Session(asio::io_context& loop, TimePoint deadline, Connection connection)
        : wait_(loop, deadline), connection_(std::move(connection)) {}

    // "" = it is there.
    asio::awaitable<std::string> connect() {
        for (auto next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
            if (!connection_ || PQstatus(connection_.get()) == CONNECTION_BAD ||
                next == PGRES_POLLING_FAILED)
                co_return words_of(connection_ ? PQerrorMessage(connection_.get()) : "no memory");
            const auto direction =
                next == PGRES_POLLING_READING ? FdWait::For::reading : FdWait::For::writing;
            auto ready = wait_.wait(PQsocket(connection_.get()), direction);
            if (!co_await std::move(ready)) co_return "time-out while connecting and logging in";
            next = PQconnectPoll(connection_.get());
        }
        co_return "";
    }

    // The first value of the first row, or nothing; problem() says why.
    asio::awaitable<std::optional<std::string>> ask(const char* query) {
        PGconn* const to = connection_.get();
        if (PQsetnonblocking(to, 1) != 0 || PQsendQuery(to, query) != 1) {
            problem_ = words_of(PQerrorMessage(to));
            co_return std::nullopt;
        }
        while (PQflush(to) == 1) {
            auto writable = wait_.wait(PQsocket(to), FdWait::For::writing);
            if (!co_await std::move(writable)) break;
        }
        while (PQisBusy(to) == 1) {
            auto readable = wait_.wait(PQsocket(to), FdWait::For::reading);
            if (!co_await std::move(readable) || PQconsumeInput(to) != 1) {
                problem_ = wait_.expired() ? "time-out while waiting for the answer to a query"
                                           : words_of(PQerrorMessage(to));
                co_return std::nullopt;
            }
        }
        const QueryResult result(PQgetResult(to));
        if (!result || PQresultStatus(result.get()) != PGRES_TUPLES_OK ||
            PQntuples(result.get()) != 1) {
            problem_ = words_of(PQerrorMessage(to));
            co_return std::nullopt;
        }
        co_return std::string(PQgetvalue(result.get(), 0, 0));
    }
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

private:
    FdWait wait_;
    Connection connection_;
    std::string problem_;
};

}  // namespace

PostgresProbe::PostgresProbe(asio::io_context& context, const config::Upstream& settings,
                             std::string password)
    : context_(context), settings_(settings), password_(std::move(password)) {}

// The library takes an answer as long as the server makes it; the deadline is what bounds it.
asio::awaitable<ProbeResult> PostgresProbe::check(ProbeTarget target, TimePoint deadline) {
    const auto at = locate(target.address);
    if (!at) co_return failure("a unix socket of PostgreSQL is called .s.PGSQL.PORT");
    Session session(context_, deadline, start(*at, target.verify_name, settings_, password_));
    auto connecting = session.connect();
    std::string problem = co_await std::move(connecting);
    if (!problem.empty()) co_return failure(std::move(problem));
    auto asking = session.ask("select pg_is_in_recovery()");
    const auto answer = co_await std::move(asking);
    if (!answer) co_return failure(session.problem());
    co_return success("", *answer == "t" ? Role::replica : Role::primary);
}

}  // namespace penstock::health
