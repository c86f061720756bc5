#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/integration/admin_scenario.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/proxy_header.hpp"
#include "tests/support/tls_client.hpp"
#include "tests/support/tls_echo_server.hpp"

/// What the tests of TLS, SNI and the PROXY protocol have in common.
namespace penstock::test {

/// Numbers of alerts (RFC 8446, section 6).
namespace alerts {
inline constexpr int handshake_failure = 40;
inline constexpr int protocol_version = 70;
inline constexpr int no_renegotiation = 100;
inline constexpr int unrecognized_name = 112;
inline constexpr int certificate_required = 116;
inline constexpr int no_application_protocol = 120;
}  // namespace alerts

inline std::string in_quotes(const std::string& text) { return "\"" + text + "\""; }

/// An inline table for `certificates` or `client_certificate`.
inline std::string certificate_entry(const Pair& pair, const std::string& password_file = "") {
    return "{ cert = " + in_quotes(pair.cert_file) + ", key = " + in_quotes(pair.key_file) +
           (password_file.empty() ? "" : ", key_password_file = " + in_quotes(password_file)) +
           " }";
}

/// The line of a listener that terminates TLS; `more` are further keys, `alpn = ["h2"], ...`.
inline std::string terminates(const std::vector<Pair>& pairs, const std::string& more = "") {
    std::string entries;
    for (const Pair& pair : pairs)
        entries += (entries.empty() ? "" : ", ") + certificate_entry(pair);
    return "tls = { certificates = [" + entries + "]" + (more.empty() ? "" : ", " + more) + " }\n";
}

/// The line of an upstream that speaks TLS with its backends, which must bear certificates of `ca`.
inline std::string encrypts(const std::string& ca, const std::string& more = "") {
    return "tls = { ca = " + in_quotes(ca) + (more.empty() ? "" : ", " + more) + " }\n";
}

/// An upstream without a listener, with one backend b0.
inline std::string upstream_table(const std::string& name, const std::string& backend,
                                  const std::string& more = "") {
    return "\n[[upstream]]\nname = " + in_quotes(name) + "\n" + more +
           "\n[[upstream.backend]]\nname = \"b0\"\naddress = " + in_quotes(backend) + "\n";
}

inline std::string handshakes(const std::string& result, const std::string& listener = "in") {
    return "penstock_tls_handshakes_total{listener=\"" + listener + "\",result=\"" + result + "\"}";
}

inline double handshakes_of(const ProxyProcess& proxy, const std::string& result,
                            const std::string& listener = "in") {
    return metrics_of(proxy).value(handshakes(result, listener));
}

inline std::string random_text(std::size_t size) {
    std::mt19937 random(7);  // fixed: the same in every run
    std::string text(size, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    return text;
}

/// Waits until exactly `count` connections have ended by their client's doing. Floods of refusals
/// leave fewer lines than that.
inline void expect_closed_by_clients(const ProxyProcess& proxy, std::size_t count) {
    const auto closed = [&] {
        return metrics_of(proxy).sum("penstock_sessions_closed_total", {"class=\"client\""});
    };
    EXPECT_TRUE(wait_for([&] { return closed() >= static_cast<double>(count); }));
    EXPECT_EQ(closed(), static_cast<double>(count));
}

/// The address that a log line gives without its port.
inline std::string host_of_line(const std::string& address) {
    return address.substr(0, address.rfind(':'));
}

/// A fresh PKI in a directory of its own.
struct TlsScene : ::testing::Test {
    TempDir files;
    Pki pki{files};
    Pair a = pki.server("a.example");
    EchoServer echo;

    /// One TLS listener in front of the plain echo server.
    [[nodiscard]] ConfigText terminating(const std::string& tls = "", std::string timeouts = "",
                                         std::string listener = "") const {
        return one_service({echo.text()}, std::move(timeouts), "", terminates({a}, tls) + listener);
    }
    [[nodiscard]] TlsClientOptions asks(const std::string& name = "a.example") const {
        return {.server_name = name, .ca_file = pki.ca_file()};
    }
    /// A client that has echoed once, or a failure of the test.
    [[nodiscard]] TlsClient connected(const ProxyProcess& proxy,
                                      const TlsClientOptions& options) const {
        TlsClient client(options);
        EXPECT_TRUE(client.open(proxy.address())) << client.error() << proxy.errors();
        EXPECT_TRUE(client.ping()) << client.error() << proxy.errors();
        return client;
    }
    /// The proxy goes on serving.
    void expect_serving(const ProxyProcess& proxy) const {
        TlsClient client = connected(proxy, asks());
        EXPECT_TRUE(client.close_cleanly());
    }
};

}  // namespace penstock::test
