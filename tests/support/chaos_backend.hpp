#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "tests/support/exchange.hpp"
#include "tests/support/ledger.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {

/// A backend that misbehaves as told: each accepted connection runs the script on a thread of its
/// own. Scripts are deterministic and must return once stopping() is true.
class ChaosBackend {
public:
    using Script = std::function<void(Socket&, const ChaosBackend&)>;

    explicit ChaosBackend(Script script, const std::string& address = "127.0.0.1:0",
                          int backlog = 1024);
    ChaosBackend(const ChaosBackend&) = delete;
    ChaosBackend& operator=(const ChaosBackend&) = delete;
    ~ChaosBackend();

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }
    [[nodiscard]] unsigned accepted() const { return accepted_; }
    [[nodiscard]] bool stopping() const { return stopping_; }
    /// Scripts that have ended by themselves.
    [[nodiscard]] unsigned finished() const { return finished_; }

    /// Stops listening (connections are refused from now on) and listens again on the same address:
    /// a flapping server. Live connections go on.
    void stop_listening();
    void start_listening();

    /// A script's way to wait: until the backend stops.
    void hold() const;
    /// A script's way to wait for the end of its connection; End::open when the backend stops
    /// first.
    End wait_end(Socket& socket) const;

private:
    void accept_loop();

    Script script_;
    Address address_;
    int backlog_;
    UniqueFd listener_;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> accepting_ = true;
    std::atomic<unsigned> accepted_ = 0;
    std::atomic<unsigned> finished_ = 0;
    std::list<std::thread> threads_;
    std::thread acceptor_;
};

/// Scripts for the common faults.
namespace scripts {

ChaosBackend::Script echo();
/// Accepts, never reads or writes.
ChaosBackend::Script hang();
ChaosBackend::Script reset_at_once();
ChaosBackend::Script close_at_once();
/// Reads `bytes`, then resets.
ChaosBackend::Script reset_after(std::uint64_t bytes);
/// Speaks first, then echoes.
ChaosBackend::Script greet(std::string greeting);
/// Identifies the connection by its id, then plays `plan` in the ledger; holds the connection
/// afterwards while `linger` says so.
ChaosBackend::Script keyed(Ledger& ledger, Plan plan, bool linger = false);

}  // namespace scripts

/// A server whose kernel lets no further connection in: listens with the smallest backlog, never
/// accepts, and its queue is filled. Connection attempts to it time out.
class FullBacklog {
public:
    explicit FullBacklog(const std::string& address = "127.0.0.1:0");
    [[nodiscard]] std::string text() const { return Address::local_of(listener_.get()).text(); }
    /// Accepts whatever waits, so that the queue moves again.
    std::list<Socket> drain();

private:
    UniqueFd listener_;
    std::list<UniqueFd> fillers_;
};

}  // namespace penstock::test
