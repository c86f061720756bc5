// Handshakes and key updates in great numbers: what they cost, and that those who are there do not
// notice.
#include <gtest/gtest.h>

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <list>
#include <memory>
#include <mutex>

#include "tests/integration/tls_scenario.hpp"
#include "tests/support/arrival.hpp"
#include "tests/support/process_stats.hpp"

namespace penstock::test {
namespace {

using std::chrono::nanoseconds;

// ---- Key updates

/// CPU time of the proxy and of this process, its adversary, since the beginning.
class Costs {
public:
    explicit Costs(const ProxyProcess& proxy) : proxy_(proxy) {}

    /// T5: a flood costs the proxy less than a hundred times what it costs its sender. What
    /// it comes to is about once.
    void expect_fair() const {
        const nanoseconds theirs = cpu_of(proxy_.pid()) - proxy_before_;
        const nanoseconds own = own_cpu() - own_before_;
        EXPECT_LT(theirs, own * (sanitized ? 100 : 10)) << own << " spent by the sender";
    }

private:
    static nanoseconds own_cpu() {
        timespec now{};
        ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
    }
    const ProxyProcess& proxy_;
    nanoseconds proxy_before_ = cpu_of(proxy_.pid());
    nanoseconds own_before_ = own_cpu();
};

struct TlsStorms : TlsScene {
    /// A terminating listener, and a plain one on the same worker.
    [[nodiscard]] ConfigText beside_plain() const {
        ConfigText config = terminating("session_tickets = false, session_cache = 0",
                                        "idle = \"5m\"\ntls_handshake = \"5m\"");
        config.services.push_back({.name = "plain", .backends = {echo.text()}});
        return config;
    }
    /// The records of `count` key updates without data; fewer where OpenSSL refuses.
    static std::string key_updates(TlsClient& client, int count, int type) {
        std::string records;
        for (int i = 0; i < count; ++i) {
            if (SSL_key_update(client.native(), type) != 1) break;
            records += client.begin();  // which says what is due, whatever it is
        }
        return records;
    }
};

TEST_F(TlsStorms, T5_key_updates_with_data_cost_their_sender_as_much_as_the_proxy) {
    ProxyProcess proxy(beside_plain());
    TlsClient client = connected(proxy, asks());
    Probe probe(proxy.address("plain"));
    const Costs costs(proxy);
    const int rounds = sized(5000);
    for (int i = 0; i < rounds; ++i) {
        ASSERT_EQ(SSL_key_update(client.native(), SSL_KEY_UPDATE_REQUESTED), 1) << i;
        ASSERT_TRUE(client.send("x")) << i << client.error();
        ASSERT_EQ(client.receive_some(), "x") << i << client.error();
    }
    costs.expect_fair();
    expect_undisturbed(probe.finish());
    EXPECT_TRUE(client.close_cleanly());
    expect_serving(proxy);
}

// A few of them in a row are an end: nobody who has nothing to say needs so many new keys.
TEST_F(TlsStorms, T5_key_updates_without_data_end_the_connection) {
    ProxyProcess proxy(beside_plain());
    Probe probe(proxy.address("plain"));
    for (const int type : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
        TlsClient client = connected(proxy, asks());
        const Costs costs(proxy);
        bool taken = true;
        for (int i = 0; taken && i < sized(100); ++i)
            taken = client.socket().send(key_updates(client, 1000, type));
        EXPECT_NE(client.socket().wait_end(promptly), End::open);
        costs.expect_fair();
    }
    expect_undisturbed(probe.finish());
    const auto ended = [&] {
        auto lines = proxy.access_log().lines();
        std::erase_if(lines, [](const LogLine& line) { return line.listener != "in"; });
        return lines;
    };
    EXPECT_TRUE(wait_for([&] { return ended().size() == 2; }));
    for (const LogLine& line : ended()) {
        EXPECT_EQ(line.reason, "client_reset") << line.raw;
        EXPECT_NE(line.detail, "") << line.raw;
    }
    expect_serving(proxy);
}

// ---- Who comes first

/// Waits until a test's flag is up.
void wait_until(const std::atomic<bool>& flag, const ChaosBackend& backend, int fd) {
    while (!flag && !backend.stopping()) wait_ready(fd, 0, Clock::now() + 5ms);
}

// More than a slice of the background, and what one look at the poller finds.
constexpr std::size_t crowd_size = 200;

/// Stops the proxy, lets `speak` say all at once what it will find, and lets it go on.
template <class Speak>
void all_at_once(const ProxyProcess& proxy, Speak speak) {
    proxy.signal(SIGSTOP);
    EXPECT_TRUE(wait_for([&] { return is_stopped(proxy.pid()); }));
    speak();
    proxy.signal(SIGCONT);
}

/// How many of these came before `news` did.
std::ptrdiff_t ahead_of(const std::optional<nanoseconds>& news,
                        const std::vector<std::optional<nanoseconds>>& crowd) {
    EXPECT_TRUE(news) << "the kernel tells no time of it";
    return std::ranges::count_if(crowd, [&](const auto& each) {
        EXPECT_TRUE(each);
        return each < news;
    });
}

// What is relayed was the last to become ready, and is the first to be done: no time is measured,
// so it does not matter how busy the machine is.
TEST_F(TlsStorms, T6_who_is_established_goes_before_handshakes_with_clients) {
    std::atomic<bool> say = false;
    std::atomic<bool> said = false;
    ChaosBackend backend([&](Socket& socket, const ChaosBackend& self) {
        socket.send(socket.receive_text(4));
        wait_until(say, self, socket.fd());
        socket.send("news");
        said = true;
        self.hold();
    });
    ProxyProcess proxy(one_service(
        {backend.text()}, "tls_handshake = \"5m\"\nclient_hello = \"5m\"", "", terminates({a})));
    TlsClient client = connected(proxy, asks());
    note_arrivals(client.socket());
    std::vector<Socket> crowd;
    for (std::size_t i = 0; i < crowd_size; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        note_arrivals(*socket);
        crowd.push_back(std::move(*socket));
    }
    ASSERT_TRUE(wait_for([&] {
        return metrics_of(proxy).sum("penstock_listener_connections_active") == crowd_size + 1;
    }));
    const std::string hello = client_hello(asks());
    all_at_once(proxy, [&] {
        for (Socket& socket : crowd) EXPECT_TRUE(socket.send(hello));
        say = true;
        EXPECT_TRUE(wait_for([&] { return said.load(); }));
    });
    std::vector<std::optional<nanoseconds>> answers;
    for (const Socket& socket : crowd) answers.push_back(arrival_of(socket));
    EXPECT_LT(ahead_of(arrival_of(client.socket()), answers), crowd_size / 4);
    EXPECT_EQ(client.receive_text(4), "news");
}

/// TLS backends that all hold their part of the handshake back until they are told to go on. The
/// first one does its handshake at once, answers four bytes, and says "news" when it is told.
class HeldBackends {
public:
    explicit HeldBackends(TlsServerOptions options) : options_(std::move(options)) {}

    [[nodiscard]] std::string text() const { return backend_.text(); }
    [[nodiscard]] std::size_t prepared() const { return prepared_; }
    /// All of them speak, and then the first one.
    void speak() {
        go_ = true;
        EXPECT_TRUE(wait_for([&] { return spoken_ == prepared_; }));
        say_ = true;
        EXPECT_TRUE(wait_for([&] { return said_.load(); }));
    }
    /// When the proxy answered each of them.
    [[nodiscard]] std::vector<std::optional<nanoseconds>> answers() {
        EXPECT_TRUE(wait_for([&] {
            const std::scoped_lock lock(mutex_);
            return answers_.size() == prepared_;
        }));
        const std::scoped_lock lock(mutex_);
        return answers_;
    }

private:
    void serve(Socket& socket, const ChaosBackend& self) {
        TlsStream stream = tls_server_side(options_);
        note_arrivals(socket);
        const int fd = socket.fd();
        stream.attach(std::move(socket));
        if (!first_.exchange(true)) {
            if (stream.handshake()) stream.send(stream.receive_text(4));
            wait_until(say_, self, fd);
            stream.send("news");
            said_ = true;
            return self.hold();
        }
        stream.cork();
        while (stream.corked() == 0 && !self.stopping()) stream.handshake(20ms);
        ++prepared_;
        wait_until(go_, self, fd);
        stream.uncork();
        ++spoken_;
        const auto answer = arrival_of(stream.socket());
        {
            const std::scoped_lock lock(mutex_);
            answers_.push_back(answer);
        }
        self.hold();
    }

    TlsServerOptions options_;
    std::atomic<bool> first_ = false;
    std::atomic<bool> go_ = false;
    std::atomic<bool> say_ = false;
    std::atomic<bool> said_ = false;
    std::atomic<std::size_t> prepared_ = 0;
    std::atomic<std::size_t> spoken_ = 0;
    std::mutex mutex_;
    std::vector<std::optional<nanoseconds>> answers_;
    ChaosBackend backend_{
        [this](Socket& socket, const ChaosBackend& self) { serve(socket, self); }};
};

TEST_F(TlsStorms, T6_who_is_established_goes_before_handshakes_with_backends) {
    HeldBackends backends({.pair = pki.issue("local", {.names = {"IP:127.0.0.1"}})});
    ProxyProcess proxy(
        one_service({backends.text()}, "",
                    encrypts(pki.ca_file()) + "attempts = 1\nconnect_timeout = \"5m\"\n"));
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    note_arrivals(*client);
    std::vector<Socket> crowd;
    for (std::size_t i = 0; i < crowd_size; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        crowd.push_back(std::move(*socket));
    }
    ASSERT_TRUE(wait_for([&] { return backends.prepared() == crowd_size; }));
    all_at_once(proxy, [&] { backends.speak(); });
    EXPECT_LT(ahead_of(arrival_of(*client), backends.answers()), crowd_size / 4);
    EXPECT_EQ(client->receive_text(4), "news");
}

// ---- The storm

/// Clients without a context of their own, 2000 a second in waves, each of which asks for a
/// signature with the same hello: the proxy works more for them than they do.
class HelloStorm {
public:
    HelloStorm(Address target, std::string hello)
        : target_(target), hello_(std::move(hello)), thread_([this] { run(); }) {}
    ~HelloStorm() { finish(); }
    HelloStorm(const HelloStorm&) = delete;
    HelloStorm& operator=(const HelloStorm&) = delete;

    void finish() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
    }
    /// Hellos that the proxy has answered, each with a signature.
    [[nodiscard]] std::size_t answered() const { return answered_; }

private:
    static constexpr std::size_t wave = 100;
    static constexpr milliseconds pace{static_cast<int>(1000 * wave / full_rate())};
    static constexpr std::size_t most_in_flight = 4 * wave;

    void run() {
        auto next = Clock::now();
        while (!stop_) {
            std::erase_if(open_, [this](Socket& socket) {
                std::array<std::byte, 4096> flight;
                if (socket.try_receive(flight) <= 0) return false;
                ++answered_;
                socket.reset();
                return true;
            });
            for (std::size_t i = 0; i < wave && open_.size() < most_in_flight; ++i)
                if (auto socket = Socket::connect(target_); socket && socket->send(hello_))
                    open_.push_back(std::move(*socket));
            next = std::max(next + pace, Clock::now());
            std::this_thread::sleep_until(next);  // the storm's pace
        }
    }

    Address target_;
    std::string hello_;
    std::list<Socket> open_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::size_t> answered_ = 0;
    std::thread thread_;
};

/// A second of quiet and five of `fault`, as one probe sees them.
class Contrast {
public:
    explicit Contrast(Probe::Action action) : action_(std::move(action)), probe_(start()) {}

    void begin() {
        quiet_ = probe_->finish();
        probe_ = start();
    }
    void finish() { during_ = probe_->finish(); }
    [[nodiscard]] bool undisturbed() const { return is_undisturbed(quiet_, during_); }
    void expect_served() const { expect_undisturbed(during_); }
    [[nodiscard]] std::string text() const {
        return std::to_string(quiet_.p99.count()) + " ms in the quiet, " +
               std::to_string(during_.p99.count()) + " ms in the storm, the scheduler " +
               std::to_string(during_.stall.count()) + " ms late";
    }

private:
    [[nodiscard]] std::unique_ptr<Probe> start() const { return std::make_unique<Probe>(action_); }
    Probe::Action action_;
    std::unique_ptr<Probe> probe_;
    Probe::Result quiet_;
    Probe::Result during_;
};

TEST_F(TlsStorms, T6_storm_of_handshakes_leaves_established_sessions_and_plain_listeners_alone) {
    ProxyProcess proxy(beside_plain());
    TlsClient session = connected(proxy, asks());
    std::size_t signatures = 0;
    double shaken = 1;
    EXPECT_TRUE(in_one_of_three_windows([&] {
        Contrast plain([&] { return echo_once(proxy.address("plain")); });
        Contrast established([&]() -> std::optional<milliseconds> {
            const auto start = Clock::now();
            if (!session.ping()) return std::nullopt;
            return since(start);
        });
        std::this_thread::sleep_for(1s);  // the quiet, as a sample
        plain.begin();
        established.begin();
        HelloStorm storm(proxy.address(), client_hello(asks()));
        // Some do all of it, and all of them succeed.
        for (const auto end = Clock::now() + 5s; Clock::now() < end; ++shaken) {
            TlsClient client = connected(proxy, asks());
            client.socket().reset();
        }
        storm.finish();
        plain.finish();
        established.finish();
        plain.expect_served();
        established.expect_served();
        signatures += storm.answered();
        std::printf("%zu signatures; established: %s; plain: %s\n", storm.answered(),
                    established.text().c_str(), plain.text().c_str());
        return sanitized || (plain.undisturbed() && established.undisturbed());
    }));
    EXPECT_GT(signatures, static_cast<std::size_t>(sized(500)));
    EXPECT_GE(handshakes_of(proxy, "full"), shaken);
    EXPECT_TRUE(session.close_cleanly());
}

}  // namespace
}  // namespace penstock::test
