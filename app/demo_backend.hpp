#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace penstock::app {

/// Small HTTP servers on loopback, each answering with its name and a running number, on one thread
/// of their own.
class DemoBackends {
public:
    /// Starts `count` servers on free ports. Throws boost::system::system_error.
    explicit DemoBackends(unsigned count);
    /// Stops them and joins the thread.
    ~DemoBackends();

    struct Server {
        std::string name;
        std::uint16_t port;
        std::uint64_t answered = 0;
    };
    /// Names and ports; the counts belong to the servers' thread.
    [[nodiscard]] const std::vector<std::unique_ptr<Server>>& servers() const noexcept {
        return servers_;
    }

private:
    using Acceptor = boost::asio::ip::tcp::acceptor;
    boost::asio::awaitable<void> accept(Acceptor acceptor, Server& server);
    static boost::asio::awaitable<void> answer(boost::asio::ip::tcp::socket socket, Server& server);

    boost::asio::io_context context_{1};
    std::vector<std::unique_ptr<Server>> servers_;
    std::thread thread_;
};

}  // namespace penstock::app
