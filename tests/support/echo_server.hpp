#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <thread>

#include "tests/support/socket.hpp"

namespace penstock::test {

/// Echoes on any number of connections from one poll loop; a FIN is answered with a FIN after
/// everything was echoed.
class EchoLoop {
public:
    explicit EchoLoop(UniqueFd listener);

    /// Serves until `stop` becomes true.
    void run(const std::atomic<bool>& stop);
    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] unsigned accepted() const { return accepted_; }
    [[nodiscard]] std::size_t open() const { return open_; }

private:
    struct Connection {
        UniqueFd fd;
        std::string pending;  // read and not yet written
        bool ended = false;
    };
    void accept_all();
    void serve(int fd);
    [[nodiscard]] bool pump(Connection& connection);

    UniqueFd listener_;
    UniqueFd epoll_;
    Address address_;
    std::atomic<unsigned> accepted_ = 0;
    std::atomic<std::size_t> open_ = 0;
    std::map<int, Connection> connections_;
};

/// An EchoLoop on a thread.
class EchoServer {
public:
    explicit EchoServer(const std::string& address = "127.0.0.1:0");
    ~EchoServer();
    [[nodiscard]] std::string text() const { return loop_.address().text(); }
    [[nodiscard]] unsigned accepted() const { return loop_.accepted(); }
    [[nodiscard]] std::size_t open() const { return loop_.open(); }

private:
    EchoLoop loop_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

}  // namespace penstock::test
