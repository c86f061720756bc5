#include "config/print.hpp"

#include <random>

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
drain = { wait = "25s", close_over = "5s" }
shutdown_delay = "0s"
user = ""
group = ""

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

[[listener]]
name = "web"
bind = ["127.0.0.1:8080"]
upstream = "app"
backlog = 4096
max_connections = 0
on_limit = "refuse"
refuse_with = "reset"
peer_timeout = "30s"
keepalive = { idle = "1m", interval = "15s", probes = 4 }

[listener.timeouts]
idle = "1h"
half_closed = "1m"
lifetime = "never"
lifetime_jitter = 0.1

[[upstream]]
name = "app"
balance = "p2c"
connect_timeout = "4s"
attempts = 3
retry_backoff = { base = "25ms", max = "250ms" }
no_backend = "reset"
keepalive = { idle = "1m", interval = "15s", probes = 4 }

[[upstream.backend]]
name = "10.0.0.1:80"
address = "10.0.0.1:80"
weight = 1
tier = 0
state = "ready"
)");
}

class Generator {
public:
    explicit Generator(std::uint32_t seed) : engine_(seed) {}

    Config config() {
        Config c;
        c.process = {
            number(0, 1024), number(0, 1'000'000'000), {duration(), duration()}, duration(), text(),
            text()};
        c.log = {word<LogLevel>(4), word<LogFormat>(2), coin() ? "stdout" : "/" + path()};
        c.access_log = {
            coin() ? "off" : "/" + path(), word<LogFormat>(2), coin(), true, coin(), duration(1ms)};
        const auto upstreams = number(1, 4);
        for (std::uint32_t i = 0; i < upstreams; ++i) c.upstreams.push_back(upstream(i));
        const auto listeners = number(1, 4);
        for (std::uint32_t i = 0; i < listeners; ++i)
            c.listeners.push_back(listener(i, c.upstreams[number(0, upstreams - 1)].name));
        return c;
    }

private:
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
        return {std::chrono::seconds(number(1, 32767)), std::chrono::seconds(number(1, 32767)),
                number(1, 127)};
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

    Listener listener(std::uint32_t i, const std::string& upstream) {
        Listener l;
        l.name = "listener." + std::to_string(i);
        const auto count = number(1, 3);
        for (std::uint32_t j = 0; j < count; ++j) l.bind.push_back(endpoint(100 * i + j));
        l.upstream = coin() ? upstream : "";
        l.backlog = number(1, 2'147'483'647);
        l.max_connections = number(0, 1'000'000'000);
        l.on_limit = word<OnLimit>(2);
        l.refuse_with = word<RefuseWith>(2);
        l.peer_timeout = duration_or_never();
        l.keepalive = keepalive();
        l.timeouts = {duration_or_never(), duration_or_never(), duration_or_never(),
                      std::uniform_real_distribution<double>(0, 1)(engine_)};
        if (coin()) l.timeouts.lifetime_jitter = number(0, 1);
        return l;
    }

    Upstream upstream(std::uint32_t i) {
        Upstream u;
        u.name = "upstream-" + std::to_string(i);
        u.balance = word<Balance>(4);
        u.connect_timeout = duration(1ms);
        u.attempts = number(1, 1000);
        u.retry_backoff.base = duration();
        u.retry_backoff.max = u.retry_backoff.base + std::chrono::milliseconds(0);
        u.no_backend = word<NoBackend>(2);
        u.keepalive = keepalive();
        const auto count = number(1, 4);
        for (std::uint32_t j = 0; j < count; ++j)
            u.backends.push_back({"b@[::]/" + std::to_string(j), endpoint(10'000 + 100 * i + j),
                                  number(0, 65535), number(0, 65535), word<BackendState>(3)});
        return u;
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
