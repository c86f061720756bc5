#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/diagnostic.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

/// One [[admin.listener]] and its place.
struct Subject {
    const Check& check;
    const AdminListener& listener;
    std::string table;

    /// The first address of the kind, or null.
    template <typename Predicate>
    [[nodiscard]] const Endpoint* first(Predicate is_of_kind) const {
        const auto found = std::ranges::find_if(listener.bind, is_of_kind);
        return found == listener.bind.end() ? nullptr : &*found;
    }
    [[nodiscard]] const Endpoint* unix_socket() const { return first(&Endpoint::is_unix); }
    [[nodiscard]] const Endpoint* tcp() const {
        return first([](const Endpoint& bind) { return !bind.is_unix(); });
    }
    [[nodiscard]] const Endpoint* beyond_loopback() const {
        return first([](const Endpoint& bind) { return !bind.is_unix() && !bind.is_loopback(); });
    }
    [[nodiscard]] Region where(const Endpoint& bind) const {
        return check.origins.of(table, fmt::format("bind[{}]", &bind - listener.bind.data()));
    }
    [[nodiscard]] Region where(std::string_view key) const { return check.origins.of(table, key); }
    void error(std::string_view key, std::string_view message) const {
        check.reporter.error(where(key), in_table(key, message));
    }
    void warning(std::string_view key, std::string_view message) const {
        check.reporter.warning(where(key), in_table(key, message));
    }

private:
    static std::string in_table(std::string_view key, std::string_view message) {
        return fmt::format("'{}' in [[admin.listener]] {}", key, message);
    }
};

constexpr std::string_view how_to_make_a_token =
    "make a token (openssl rand -hex 32 > admin.token; chmod 600 admin.token) and write "
    "token_file = \"admin.token\"";

void check_token(const Subject& subject) {
    const auto& listener = subject.listener;
    if (!listener.token_file.empty()) {
        if (subject.tcp() == nullptr)
            subject.warning("token_file",
                            "has no effect on a unix socket: who may use it is what socket_mode "
                            "and socket_group say");
        return;
    }
    if (listener.access == AdminAccess::metrics) return;
    const bool is_full = listener.access == AdminAccess::full;
    const auto* bind = is_full ? subject.tcp() : subject.beyond_loopback();
    if (bind == nullptr) return;
    const std::string_view less =
        bind->is_loopback() ? R"(access = "read" or "metrics")" : R"(access = "metrics")";
    subject.check.reporter.error(
        subject.where(*bind),
        fmt::format("whoever reaches {} could use the admin API with access = \"{}\": {}; or write "
                    "{}, which needs none",
                    format_endpoint(*bind), is_full ? "full" : "read", how_to_make_a_token, less));
}

void check_socket(const Subject& subject) {
    const auto mode = subject.listener.socket_mode;
    const auto& group = subject.listener.socket_group;
    if (const auto* bind = subject.tcp(); bind != nullptr) {
        const auto message = fmt::format(
            "is for unix sockets, and {} is none; leave it out, or put the unix socket into an "
            "[[admin.listener]] of its own",
            format_endpoint(*bind));
        if (mode != AdminListener{}.socket_mode) subject.error("socket_mode", message);
        if (!group.empty()) subject.error("socket_group", message);
        return;
    }
    if (!group.empty() && (mode & 0020U) == 0)
        subject.warning("socket_group",
                        fmt::format("has no effect with socket_mode = \"{}\", which gives the "
                                    "group nothing; write \"0660\"",
                                    format_mode(mode)));
    if (subject.listener.access == AdminAccess::full && (mode & 0002U) != 0)
        subject.warning("socket_mode",
                        fmt::format("is \"{}\": every user of this machine could stop and change "
                                    "the proxy; write \"0660\" and a socket_group",
                                    format_mode(mode)));
}

void check_tls(const Subject& subject) {
    const auto& tls = subject.listener.tls;
    if (tls == AdminTls{}) return;
    if (tls.certificate.empty() || tls.key.empty())
        subject.error("tls", tls.key.empty()
                                 ? "has a cert without its key; add key = \"admin.key\""
                                 : "has a key without a cert; add cert = \"admin.pem\"");
    if (const auto* bind = subject.unix_socket(); bind != nullptr)
        subject.error("tls", fmt::format("is for TCP, and {} is a unix socket; put that into an "
                                         "[[admin.listener]] of its own",
                                         format_endpoint(*bind)));
}

void check_allow(const Subject& subject) {
    const auto& allow = subject.listener.allow;
    if (allow.unix_peers)
        return subject.error("allow",
                             "takes networks: whether a unix peer may connect is what socket_mode "
                             "and socket_group say; remove \"unix\"");
    if (const auto* bind = subject.unix_socket(); bind != nullptr && !allow.empty())
        subject.error("allow", fmt::format("is for TCP, and {} is a unix socket, whose peers have "
                                           "no address; put that into an [[admin.listener]] of its "
                                           "own",
                                           format_endpoint(*bind)));
}

/// Nothing, or what is wrong with a name that stands in `Host`.
std::string_view problem_of_host(const std::string& host) {
    if (host.empty()) return "is empty";
    if (host.find('/') != std::string::npos) return "is a URL; write the name of the host alone";
    if (host.find('*') != std::string::npos) return "has a wildcard; write each name";
    const auto with_port = host + ":1";
    if (Endpoint::looks_like_host_name(with_port)) return {};
    if (const auto address = Endpoint::parse(with_port); address && !address->is_unix()) return {};
    if (Endpoint::parse(fmt::format("[{}]:1", host)))
        return "is an IPv6 address, which has brackets there";
    if (Endpoint::looks_like_host_name(host) || Endpoint::parse(host))
        return "has a port; write the name alone, it holds for every port";
    return "is no host name";
}

void check_hosts(const Check& check) {
    const auto& hosts = check.config.admin.allowed_hosts;
    for (std::size_t i = 0; i < hosts.size(); ++i)
        if (const auto problem = problem_of_host(hosts[i]); !problem.empty())
            check.reporter.error(
                check.origins.of("admin", fmt::format("allowed_hosts[{}]", i)),
                fmt::format("'allowed_hosts' in [admin]: {} {}", quote(hosts[i]), problem));
}

}  // namespace

void check_admin(const Check& check) {
    check_hosts(check);
    const bool is_given = check.origins.find("admin.listener") != nullptr;
    if (is_given && check.origins.find("admin.listener[0]") == nullptr)
        check.reporter.error(check.origins.of("admin", "listener"),
                             "'listener' in [admin] is empty; without [[admin.listener]] there is "
                             "the unix socket of the defaults, so leave the key out");
    for (std::size_t i = 0; i < check.config.admin.listeners.size(); ++i) {
        const Subject subject{check, check.config.admin.listeners[i], admin_listener_path(i)};
        check_token(subject);
        check_socket(subject);
        check_tls(subject);
        check_allow(subject);
    }
}

}  // namespace penstock::config
