#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "tests/servers/prometheus.hpp"
#include "tests/support/chaos_backend.hpp"
#include "tests/support/dns_server.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A proxy to which everything happens that there are metrics for, all the time until the end of
/// this object, and a Prometheus that runs as deploy/prometheus/prometheus.yml says, only faster.
///
/// Listeners: `in` (two good backends with checks and a pool), `secure` (TLS; its backend's name is
/// looked up), `narrow` (one slot, so clients queue), `broken` (nobody listens), `closed` (denied).
class WatchedProxy {
public:
    WatchedProxy();
    ~WatchedProxy();
    WatchedProxy(const WatchedProxy&) = delete;
    WatchedProxy& operator=(const WatchedProxy&) = delete;

    [[nodiscard]] Prometheus& prometheus() { return *prometheus_; }
    /// A reload that is refused, and one that is not.
    void reload_badly_and_well();

private:
    [[nodiscard]] ConfigText configuration();
    void clients();
    void client_over_tls(bool resumes);
    void clients_that_queue();
    void clients_that_fail();

    TempDir directory_;
    Pki pki_;
    Pair certificate_;
    EchoServer a_;
    EchoServer b_;
    DnsServer names_;
    ClosedPort nobody_;
    Address metrics_;
    std::optional<ProxyProcess> proxy_;
    std::optional<Prometheus> prometheus_;
    std::map<std::string, Address> listeners_;
    TlsSession session_;
    int reloads_ = 0;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

/// deploy/prometheus in a folder of its own, with `target` in the place of its addresses, scrapes
/// and rules each second, and alerts that wait for no longer than that; returns the configuration.
std::filesystem::path hasty_prometheus(const TempDir& directory, const Address& target);

/// The text of a file; throws std::runtime_error when there is none.
[[nodiscard]] std::string text_of(const std::filesystem::path& file);

}  // namespace penstock::test
