#include "config/print.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;

TEST(ConfigPrint, ShowsEveryDefault) {
    const auto result = testing::load(testing::valid());
    EXPECT_EQ(print(result.config), R"([process]
workers = "auto"
max_connections = "auto"
memory_limit = "auto"
drain = { wait = "25s", close_over = "5s" }
upgrade_drain = { wait = "1h", close_over = "5m" }
max_old_processes = 3
shutdown_delay = "0s"
watch_config = "check"
user = ""
group = ""
strict_permissions = false
sandbox = "auto"
hash_seed = 0

[log]
level = "info"
format = "text"
target = "stderr"

[access_log]
target = "off"
format = "json"
events = ["close"]
skip_empty = false
flush_interval = "1s"

[admin]
ready_upstreams = []
allowed_hosts = []

[[admin.listener]]
bind = ["unix:$RUNTIME/admin.sock"]
access = "full"
socket_mode = "0600"
socket_group = ""
token_file = ""
tls = { cert = "", key = "" }
allow = []

[[listener]]
name = "web"
bind = ["127.0.0.1:8080"]
upstream = "app"
role = ""
split = []
split_by = "random"
backlog = 4096
max_connections = 0
max_connections_per_source = 0
accept_rate = ""
accept_rate_per_source = ""
source_prefix = { ipv4 = 32, ipv6 = 64 }
limit_exempt = []
on_limit = "refuse"
refuse_with = "reset"
allow = []
deny = []
allow_file = ""
deny_file = ""
dry_run = []
proxy_protocol = "off"
proxy_protocol_from = []
proxy_protocol_untrusted = "refuse"
download_rate = ""
upload_rate = ""
client_hello_max = "16KiB"
starttls = ""
peer_timeout = "30s"
keepalive = { idle = "1m", interval = "15s", probes = 4 }

[listener.timeouts]
proxy_header = "5s"
client_hello = "5s"
tls_handshake = "10s"
idle = "1h"
half_closed = "1m"
lifetime = "never"
lifetime_jitter = 0.1

[[upstream]]
name = "app"
balance = "p2c"
hash_key = "source_ip"
bounded_load = 0.0
connect_timeout = "4s"
attempts = 3
retry_backoff = { base = "25ms", max = "250ms" }
retry_budget = 0.2
max_connections = 0
max_connecting_per_backend = 0
spill_when_full = false
tier_join_below = 0.0
panic_threshold = 0.5
no_backend = "reset"
hold = { timeout = "30s", max_length = 1024 }
on_backend_down = "keep"
down_grace = "0s"
on_role_change = "keep"
drain = { wait = "5m", close_over = "30s" }
send_proxy_protocol = "off"
send_proxy_protocol_tlvs = []
source_address = []
keepalive = { idle = "1m", interval = "15s", probes = 4 }
backend_defaults = { weight = 1, tier = 0, max_connections = 0 }

[upstream.queue]
max_length = 1024
timeout = "5s"
policy = "fifo"

[upstream.pool]
min_idle = 0
max_idle = 0
max_age = "30s"

[upstream.slow_start]
window = "0s"
min_weight = 0.1
aggression = 1.0

[upstream.rebalance]
on = []
over = "10m"
max_share = 0.2
min_age = "5m"

[upstream.health_check]
type = "none"
interval = "2s"
fast_interval = "500ms"
down_interval = { base = "1s", max = "30s" }
timeout = "1s"
rise = 2
fall = 3
jitter = 0.1
initial = "check"
port = 0
tls = "inherit"
send_proxy_protocol = "auto"
http = { method = "GET", path = "/", host = "", status = ["200-399"], body_contains = "", primary_status = [], replica_status = [] }
exchange = { send = "", expect = "" }
user = ""
password_file = ""
database = ""

[upstream.circuit_breaker]
enabled = true
consecutive_failures = 5
failure_rate = 0.5
min_samples = 20
window = "10s"
open_for = { base = "10s", max = "5m" }
half_open_trials = 1
max_open_share = 0.5
early_reset_counts = true
dry_run = false

[[upstream.backend]]
name = "10.0.0.1:80"
address = "10.0.0.1:80"
weight = 1
tier = 0
max_connections = 0
state = "ready"
)");
}

TEST(ConfigPrint, DefaultsLoadWithoutAWarning) {
    const auto result = testing::load(print(testing::load(testing::valid()).config));
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
}

TEST(ConfigPrint, ShowsASplitAsInlineTables) {
    auto config = testing::load(testing::valid()).config;
    config.listeners[0].upstream.clear();
    config.listeners[0].split = {{.upstream = "app", .weight = 95}, {.upstream = "b", .weight = 5}};
    EXPECT_NE(print(config).find(
                  "upstream = \"\"\nrole = \"\"\nsplit = [{ upstream = \"app\", weight = 95 }, "
                  "{ upstream = \"b\", weight = 5 }]\n"),
              std::string::npos)
        << print(config);
}

class Generator {
public:
    explicit Generator(std::uint32_t seed) : engine_(seed) {}

    Config config() {
        Config c;
        c.process = process();
        c.log = {.level = word<LogLevel>(4),
                 .format = word<LogFormat>(2),
                 .target = coin() ? "stdout" : "/" + path()};
        c.access_log = {.target = coin() ? "off" : "/" + path(),
                        .format = word<LogFormat>(2),
                        .on_open = coin(),
                        .on_close = true,
                        .skip_empty = coin(),
                        .flush_interval = duration(1ms)};
        const auto upstreams = number(1, 4);
        for (std::uint32_t i = 0; i < upstreams; ++i) c.upstreams.push_back(upstream(i));
        const auto listeners = number(1, 4);
        for (std::uint32_t i = 0; i < listeners; ++i)
            c.listeners.push_back(listener(i, c.upstreams));
        c.admin = admin(c.upstreams);
        return c;
    }

private:
    Process process() {
        Process p;
        p.workers = number(0, 1024);
        p.max_connections = number(0, 1'000'000'000);
        p.drain = {.wait = duration(), .close_over = duration()};
        p.upgrade_drain = {.wait = duration(), .close_over = duration()};
        p.max_old_processes = number(0, 100);
        p.shutdown_delay = duration();
        p.watch_config = word<WatchConfig>(3);
        p.hash_seed = coin() ? number(0, 9) : std::numeric_limits<std::int64_t>::max();
        p.memory_limit = coin() ? 0 : std::uint64_t{number(1, 1023)} << 20U;
        p.strict_permissions = coin();
        p.sandbox = word<SandboxMode>(3);
        p.user = text();
        p.group = text();
        return p;
    }

    std::uint32_t number(std::uint32_t least, std::uint32_t most) {
        return std::uniform_int_distribution<std::uint32_t>(least, most)(engine_);
    }
    bool coin() { return number(0, 1) == 1; }

    template <typename E>
    E word(std::uint32_t count) {
        return static_cast<E>(number(0, count - 1));
    }

    Duration duration(std::chrono::milliseconds least = 0ms) {
        static constexpr std::chrono::milliseconds units[] = {1ms, 1s, 1min, 1h};
        return std::max(least, units[number(0, 3)] * number(0, 87600));
    }
    Duration duration_or_never() { return number(0, 3) == 0 ? never : duration(1ms); }

    double real(double least, double most) {
        return coin() ? std::round(std::uniform_real_distribution<double>(least, most)(engine_))
                      : std::uniform_real_distribution<double>(least, most)(engine_);
    }

    Rate rate() {
        if (coin()) return {};
        static constexpr std::chrono::seconds units[] = {1s, 1min, 1h};
        const auto amount = number(1, 1'000'000'000);
        return {.amount = amount,
                .per = units[number(0, 2)],
                .burst = coin() ? amount : number(1, 1'000'000'000)};
    }

    std::uint64_t byte_rate() {
        if (coin()) return 0;
        return std::uint64_t{number(1, 1023)} << (10 * number(0, 4));
    }

    PeerList peers() {
        PeerList list;
        const auto count = number(0, 3);
        for (std::uint32_t i = 0; i < count; ++i) list.prefixes.push_back(prefix());
        list.unix_peers = coin();
        list.all = coin();
        return list;
    }

    Prefix prefix() {
        const bool ipv4 = coin();
        Prefix p;
        p.length = static_cast<std::uint8_t>(ipv4 ? number(96, 128) : number(0, 128));
        if (ipv4) p.bytes[10] = p.bytes[11] = 0xff;
        const std::size_t first = ipv4 ? 12 : 0;
        for (std::size_t i = first; i < p.length / 8U; ++i)
            p.bytes[i] = static_cast<std::uint8_t>(number(0, 255));
        return p;
    }

    std::string text() {
        // All that a TOML string must escape, and more than one byte per character.
        static constexpr std::string_view pieces[] = {"a",
                                                      "\"",
                                                      "\\",
                                                      "\n",
                                                      "\t",
                                                      "\x01",
                                                      "\x7F",
                                                      "'",
                                                      "$",
                                                      "}",
                                                      "#",
                                                      "\xC3\xA4",
                                                      "\xF0\x9F\x98\x80"};
        std::string out;
        const auto count = number(0, 6);
        for (std::uint32_t i = 0; i < count; ++i) out += pieces[number(0, std::size(pieces) - 1)];
        return out;
    }

    std::string path() {
        auto out = "p" + text();
        return out;
    }

    Keepalive keepalive() {
        return {.idle = std::chrono::seconds(number(1, 32767)),
                .interval = std::chrono::seconds(number(1, 32767)),
                .probes = number(1, 127)};
    }

    Endpoint endpoint(std::uint32_t unique) {
        const auto port = static_cast<std::uint16_t>(1000 + unique);
        switch (number(0, 3)) {
            case 0:
                return Endpoint::ipv4({10, 0, 0, static_cast<std::uint8_t>(number(1, 255))}, port);
            case 1: {
                std::array<std::uint8_t, 16> address{0x20, 0x01};
                address[15] = static_cast<std::uint8_t>(number(0, 255));
                return Endpoint::ipv6(address, port);
            }
            case 2: return *Endpoint::parse("unix:/run/" + std::to_string(unique) + ".sock");
            default: return *Endpoint::parse("unix:@name" + std::to_string(unique));
        }
    }

    Bind bind(std::uint32_t unique) {
        switch (number(0, 3)) {
            case 0: return *Bind::parse_inherited("fd:" + std::to_string(3 + unique));
            case 1: return *Bind::parse_inherited("systemd:a ~\"\\" + std::to_string(unique));
            default: return endpoint(unique);
        }
    }

    Listener listener(std::uint32_t i, const std::vector<Upstream>& upstreams) {
        Listener l;
        l.name = "listener." + std::to_string(i);
        const auto count = number(1, 3);
        for (std::uint32_t j = 0; j < count; ++j) l.bind.push_back(bind(100 * i + j));
        if (coin()) {
            l.upstream =
                coin() ? upstreams[number(0, static_cast<std::uint32_t>(upstreams.size() - 1))].name
                       : "";
        } else {
            for (const auto& upstream : upstreams)
                l.split.push_back({.upstream = upstream.name, .weight = number(0, 65535)});
            l.split[0].weight = number(1, 65535);
        }
        l.split_by = word<SplitBy>(2);
        l.backlog = number(1, 2'147'483'647);
        l.refuse_with = word<RefuseWith>(2);
        l.download_rate = byte_rate();
        l.upload_rate = byte_rate();
        l.peer_timeout = duration_or_never();
        l.keepalive = keepalive();
        l.timeouts = {.proxy_header = duration(1ms),
                      .client_hello = duration(1ms),
                      .tls_handshake = duration(1ms),
                      .idle = duration_or_never(),
                      .half_closed = duration_or_never(),
                      .lifetime = duration_or_never(),
                      .lifetime_jitter = real(0, 1)};
        limit(l);
        secure(l, upstreams);
        return l;
    }

    Admin admin(const std::vector<Upstream>& upstreams) {
        Admin a;
        for (const auto& upstream : upstreams)
            if (coin()) a.ready_upstreams.push_back(upstream.name);
        if (coin()) a.allowed_hosts = {"proxy-1.example.com", "[2001:db8::1]", "10.0.0.1"};
        const auto count = number(1, 3);
        for (std::uint32_t i = 0; i < count; ++i)
            a.listeners.push_back(coin() ? admin_socket(i) : admin_port(i));
        return a;
    }

    AdminListener admin_socket(std::uint32_t i) {
        AdminListener l;
        const auto name = std::to_string(i) + ".sock";
        l.bind = {*Endpoint::parse("unix:$RUNTIME/" + name), *Endpoint::parse("unix:/a/" + name)};
        l.access = word<AdminAccess>(3);
        l.socket_mode = number(0, 0777);
        l.socket_group = text();
        return l;
    }

    AdminListener admin_port(std::uint32_t i) {
        AdminListener l;
        const auto port = static_cast<std::uint16_t>(30'000 + i);
        l.bind = {Endpoint::ipv4({10, 0, 0, 1}, port), Endpoint::ipv4({127, 0, 0, 1}, port)};
        l.access = word<AdminAccess>(3);
        l.token_file = "/" + path();
        if (coin()) l.tls = {.certificate = "/" + path(), .key = "/" + path()};
        l.allow = peers();
        l.allow.unix_peers = false;
        return l;
    }

    void limit(Listener& l) {
        l.max_connections = number(0, 1'000'000'000);
        l.max_connections_per_source = number(0, 1'000'000'000);
        l.accept_rate = rate();
        l.accept_rate_per_source = rate();
        l.source_prefix = {.ipv4 = number(1, 32), .ipv6 = number(1, 128)};
        l.limit_exempt = peers();
        l.on_limit = word<OnLimit>(2);
        l.allow = peers();
        l.deny = peers();
        l.dry_run = {.max_connections = coin(),
                     .max_connections_per_source = coin(),
                     .accept_rate = coin(),
                     .accept_rate_per_source = coin(),
                     .allow = coin(),
                     .deny = coin()};
    }

    CertificateFile certificate() {
        return {.cert = "/" + path(),
                .key = coin() ? "" : "/" + path(),
                .key_password_file = coin() ? "" : "/" + path()};
    }

    std::vector<std::string> protocols() {
        std::vector<std::string> all;
        if (coin()) all.push_back("h2");
        if (coin()) all.push_back("x" + text());
        return all;
    }

    ListenerTls listener_tls() {
        ListenerTls tls;
        const auto count = number(1, 3);
        for (std::uint32_t i = 0; i < count; ++i) tls.certificates.push_back(certificate());
        tls.max_version = word<TlsVersion>(2);
        if (tls.max_version == TlsVersion::tls13) tls.min_version = word<TlsVersion>(2);
        tls.ciphers = text();
        tls.alpn = protocols();
        if (coin()) {
            tls.client_auth = coin() ? ClientAuth::optional : ClientAuth::required;
            tls.client_ca = "/" + path();
            tls.client_crl = coin() ? "" : "/" + path();
            if (coin()) tls.client_names = {"spiffe://a/b", "*.svc.example"};
        }
        tls.session_tickets = coin();
        tls.session_cache = number(0, 10'000'000);
        if (coin()) tls.session_ticket_key_files = {"/" + path(), "/" + path()};
        tls.strict_sni = coin();
        tls.max_handshakes = number(0, 1'000'000'000);
        return tls;
    }

    Route route(const std::vector<Upstream>& upstreams, bool has_tls) {
        Route r;
        if (coin()) r.sni = {"*.example.com", "", "a-b.example"};
        r.alpn = protocols();
        r.source = peers();
        r.upstream = upstreams[0].name;
        r.tls = has_tls ? word<RouteTls>(3) : RouteTls::passthrough;
        r.starttls = word<StartTls>(2);
        if (coin()) {
            r.upstream.clear();
            r.split = {{.upstream = upstreams[0].name, .weight = number(1, 65535)}};
        }
        return r;
    }

    void secure(Listener& l, const std::vector<Upstream>& upstreams) {
        l.proxy_protocol = word<ProxyProtocol>(4);
        l.proxy_protocol_from = peers();
        l.proxy_protocol_from.unix_peers = true;
        l.proxy_protocol_untrusted = word<ProxyProtocolUntrusted>(3);
        l.client_hello_max = std::uint64_t{number(1, 64)} << 10U;
        if (coin()) l.tls = listener_tls();
        if (coin()) l.sni = {{"*.b.example", upstreams[0].name}, {"a.example", upstreams[0].name}};
        const auto count = number(0, 3);
        for (std::uint32_t i = 0; i < count; ++i)
            l.routes.push_back(route(upstreams, l.tls.has_value()));
        if (l.tls) l.starttls = word<StartTls>(2);
    }

    UpstreamTls upstream_tls() {
        UpstreamTls tls;
        tls.verify = coin();
        if (tls.verify || coin()) tls.server_name = coin() ? "db.example" : "10.0.0.1";
        if (coin()) tls.ca = "/" + path();
        if (coin()) tls.crl = "/" + path();
        if (coin()) tls.client_certificate = certificate();
        tls.session_reuse = coin();
        tls.alpn = protocols();
        tls.min_version = word<TlsVersion>(2);
        return tls;
    }

    Upstream upstream(std::uint32_t i) {
        Upstream u;
        u.name = "upstream-" + std::to_string(i);
        u.balance = word<Balance>(8);
        u.hash_key = word<HashKey>(3);
        u.bounded_load = coin() ? 0 : real(1, 1000);
        u.connect_timeout = duration(1ms);
        u.attempts = number(1, 1000);
        u.retry_backoff.base = duration();
        u.retry_backoff.max = u.retry_backoff.base + std::chrono::milliseconds(0);
        u.retry_budget = real(0, 1);
        u.max_connections = number(0, 1'000'000'000);
        u.max_connecting_per_backend = number(0, 1'000'000'000);
        u.spill_when_full = coin();
        u.tier_join_below = real(0, 1);
        u.no_backend = word<NoBackend>(3);
        u.hold = {.timeout = duration(1ms), .max_length = number(1, 1'000'000'000)};
        u.send_proxy_protocol = word<SendProxyProtocol>(3);
        if (u.send_proxy_protocol == SendProxyProtocol::v2)
            u.send_proxy_protocol_tlvs = {.authority = coin(),
                                          .alpn = coin(),
                                          .ssl = coin(),
                                          .unique_id = coin(),
                                          .crc32c = coin(),
                                          .passthrough = coin()};
        if (coin()) u.tls = upstream_tls();
        u.health_check.send_proxy_protocol = word<CheckProxyProtocol>(2);
        u.source_address = source_addresses();
        u.keepalive = keepalive();
        u.queue = {.max_length = number(0, 1'000'000'000),
                   .timeout = duration(1ms),
                   .policy = word<QueueOrder>(2)};
        u.pool.min_idle = number(0, 1'000'000);
        if (u.tls) u.pool.min_idle = 0;  // not with a PROXY header, nor with starttls
        u.pool.max_idle = coin() ? 0 : number(u.pool.min_idle, 1'000'000);
        u.pool.max_age = duration(1ms);
        u.slow_start = {
            .window = duration(), .min_weight = real(0, 1), .aggression = real(0.6, 1000)};
        u.rebalance = {.on_added = coin(),
                       .on_recovered = coin(),
                       .over = duration(),
                       .max_share = real(0, 1),
                       .min_age = duration()};
        u.backend_defaults = {.weight = number(0, 65535),
                              .tier = number(0, 65535),
                              .max_connections = number(0, 1'000'000'000)};
        const auto count = number(1, 4);
        for (std::uint32_t j = 0; j < count; ++j)
            u.backends.push_back({.name = "b@[::]/" + std::to_string(j),
                                  .address = endpoint(10'000 + 100 * i + j),
                                  .weight = number(0, 65535),
                                  .tier = number(0, 65535),
                                  .state = word<BackendState>(3),
                                  .max_connections = number(0, 1'000'000'000)});
        return u;
    }

    std::vector<Endpoint> source_addresses() {
        std::vector<Endpoint> all;
        if (coin()) all.push_back(Endpoint::ipv4({10, 0, 0, 5}, 0));
        if (coin()) all.push_back(Endpoint::ipv6({0x20, 0x01, 0x0d, 0xb8}, 0));
        if (coin()) all.push_back(*Endpoint::parse("[fe80::1%lo]:0"));
        return all;
    }

    std::mt19937 engine_;
};

TEST(ConfigC10, PrintedConfigurationLoadsToTheSame) {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        const auto config = Generator(seed).config();
        const auto text = print(config);
        const auto result = testing::load(text);
        ASSERT_TRUE(result.ok()) << "seed " << seed << '\n' << format(result.diagnostics) << text;
        ASSERT_EQ(result.config, config) << "seed " << seed << '\n' << text;
        ASSERT_EQ(print(result.config), text) << "seed " << seed;
    }
}

}  // namespace
}  // namespace penstock::config
