#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/oracle.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/traffic.hpp"

/// What the scenarios have in common.
namespace penstock::test {

/// A configuration of one service with these backends.
[[nodiscard]] ConfigText one_service(std::vector<std::string> backends, std::string timeouts = "",
                                     std::string upstream = "", std::string listener = "");

/// Connects, sends a few bytes, expects them back, closes cleanly. Time it took, nothing on
/// failure.
std::optional<milliseconds> echo_once(const Address& proxy, milliseconds limit = patience,
                                      const SocketOptions& options = {});

/// A connection that has echoed once, so that the proxy has it fully established.
std::optional<Socket> established(const Address& proxy, const SocketOptions& options = {});

/// Sends `text` and waits for it to come back; false if it does not.
bool ping(Socket& socket, std::string_view text = "ping", milliseconds limit = patience);

/// A warm-up connection per listener, then the number of open descriptors: the baseline of I4.
std::size_t descriptor_baseline(const ProxyProcess& proxy,
                                const std::vector<std::string>& listeners = {"in"});

/// I2, I3, I7, I8 over ledger and log: waits for the lines first. Fails the test with what is
/// wrong. `others` is the number of connections that are in the log and not in the ledger
/// (warm-ups).
void expect_clean(const Ledger& ledger, const ProxyProcess& proxy, std::size_t others = 0);

/// Ends the traffic and judges it: nothing refused, reset, lost or altered, every connection with
/// its line in the log, all of them completed.
void expect_no_loss(Traffic& traffic, const ProxyProcess& proxy, std::size_t others = 0);

/// New connections per second that a test asks for: the full rate on plain builds, less where
/// sanitizers slow the proxy.
[[nodiscard]] constexpr double full_rate() { return sanitized ? 150 : 2000; }

/// An address of this test process alone, within 127.0.0.0/8: any port of it is free, where a test
/// must know the port before the program does.
[[nodiscard]] std::string own_address(unsigned port);

/// Waits for `count` close lines, checks each against the contract, and returns them.
std::vector<LogLine> expect_lines(const ProxyProcess& proxy, std::size_t count,
                                  milliseconds limit = patience);

/// I4: all descriptors are returned. Idle pipes kept for splicing (at most one pair per worker,
/// opened by bulk transfers) are not a leak.
void expect_descriptors(const ProxyProcess& proxy, std::size_t baseline, std::size_t workers = 1);

/// I6: hardly any CPU time is used although connections are open: waits until that is so in one
/// whole `span`. What was under way may end first; what spins never lets it happen.
void expect_idle(const ProxyProcess& proxy, milliseconds span = 1000ms);

/// After TERM: waits until connections to `address` are refused, which tells that the signal has
/// been handled. Those that it makes before leave their lines in the log.
bool stops_accepting(const Address& address);

/// A backend's script that says "tick" every 20 ms, and afterwards notes how the connection ended.
class Ticker {
public:
    [[nodiscard]] ChaosBackend::Script script();
    /// The longest silence between two ticks so far: this process may be held up.
    [[nodiscard]] milliseconds longest_silence() const { return longest_.load(); }
    /// How the connection ended, once it has.
    [[nodiscard]] End wait() const;

private:
    std::atomic<milliseconds> longest_ = 0ms;
    std::atomic<End> seen_ = End::open;
};

/// The reasons of the lines that are not `expected`, for messages.
[[nodiscard]] std::string reasons_other_than(const std::vector<LogLine>& lines,
                                             std::string_view expected);

/// I9: does something about 50 times a second while a fault lasts elsewhere, and notes how long it
/// took.
class Probe {
public:
    using Action = std::function<std::optional<milliseconds>()>;  // nothing: it failed

    explicit Probe(Action action);
    /// Connects and echoes on a listener.
    explicit Probe(const Address& target) : Probe([target] { return echo_once(target); }) {}
    ~Probe();
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;

    struct Result {
        std::size_t count = 0;
        std::size_t failed = 0;
        milliseconds p99{};
        milliseconds stall{};  // by how much the machine itself woke this thread too late, at worst
    };
    /// Ends the probing.
    Result finish();

private:
    Action action_;
    std::atomic<bool> stop_ = false;
    std::vector<milliseconds> times_;
    std::size_t failed_ = 0;
    milliseconds stall_{};
    std::thread thread_;
};

/// Nothing of a probe may have failed, and its p99 must be what tests that run side by side can
/// explain, the scripted peers being on the same cores as the proxy; what the machine's scheduler
/// alone was late is granted on top. A worker that was blocked or starved shows.
void expect_undisturbed(const Probe::Result& result);

/// I9 in full: p99 below 100 ms and below five times what it was in the quiet. Both grant what the
/// scheduler was late; less than 4 ms, a few switches between the peers, is no quiet value on a
/// machine with other work. For optimized builds, and one of three windows.
[[nodiscard]] bool is_undisturbed(const Probe::Result& quiet, const Probe::Result& result);

}  // namespace penstock::test
