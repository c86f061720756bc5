#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/ledger.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {

struct TrafficOptions {
    /// New connections: each exchanges a stream of its own both ways and closes cleanly. Fewer
    /// where the machine cannot keep up: never more than `max_in_flight` at a time.
    double per_second = 0;
    std::size_t max_in_flight = 400;
    /// Connections that stay, and exchange something now and then.
    std::size_t long_lived = 0;
    milliseconds exchange_every{1000};
    milliseconds life{0};  // then one closes cleanly and another takes its place; 0 = until the end
    std::size_t backends = 2;
    milliseconds limit = patience;  // (scaled) whoever waits longer for an answer has lost it
};

/// Steady load through a proxy, and both ends of it: clients and the backends behind, on one
/// thread. Every connection and every byte is in the ledger; what the ledger cannot tell (a
/// refusal, an answer that never came) is in problems().
///
/// A backend answers each byte with one byte of its own stream, and a FIN with a FIN.
class Traffic {
public:
    explicit Traffic(TrafficOptions options);
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic();

    /// Addresses for the configuration. Connections without a byte (checks, warm ones) are welcome.
    [[nodiscard]] std::vector<std::string> backends() const;
    /// Clients come to these in turn from now on; a later call replaces the addresses.
    void start(std::vector<Address> targets);
    /// No new connections, and the long-lived ones end; returns when all have ended or have had the
    /// time for it. Safe to call twice.
    void finish();

    [[nodiscard]] std::uint64_t opened() const { return opened_; }
    /// Those that got everything and closed cleanly.
    [[nodiscard]] std::uint64_t completed() const { return completed_; }
    /// Clients that are connected now and have had their first answer.
    [[nodiscard]] std::size_t living() const { return living_; }
    /// Waits until that many more have completed: load was there in the meantime.
    bool wait_for_more(std::uint64_t count, milliseconds limit = patience) const;

    // ---- After finish()
    [[nodiscard]] const Ledger& ledger() const { return ledger_; }
    /// What went wrong, a sentence each (the first hundred); empty = nothing was refused or lost.
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

private:
    class Engine;

    TrafficOptions options_;
    Ledger ledger_;
    std::vector<std::string> problems_;
    std::atomic<std::uint64_t> opened_ = 0;
    std::atomic<std::uint64_t> completed_ = 0;
    std::atomic<std::size_t> living_ = 0;
    std::unique_ptr<Engine> engine_;
    std::thread thread_;
};

}  // namespace penstock::test
