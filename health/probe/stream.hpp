#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "health/probe/deadline.hpp"
#include "net/tls/context.hpp"
#include "net/tls/memory_client.hpp"

namespace penstock::health {

/// A connection to a server that is being checked. At the deadline it closes itself, which ends
/// whatever a coroutine waits for. After a call that failed, error() says why, in words for the
/// operator; later calls fail as well. Wall clocks do not matter: the deadline is on
/// CLOCK_MONOTONIC, and nothing here asks for the time of day. One thread, one call at a time; what
/// a call is given must live until it ends.
class Stream {
public:
    /// `timeout`: how long the whole check may take, for the words only.
    Stream(boost::asio::io_context& context, TimePoint deadline, Duration timeout);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    /// True when the server's kernel has accepted the connection. That it was reset since is said
    /// by the next call.
    [[nodiscard]] boost::asio::awaitable<bool> connect(Endpoint to);
    /// From here on everything is encrypted, for whoever answers. `server_name`: for SNI, "" =
    /// none.
    [[nodiscard]] boost::asio::awaitable<bool> start_tls_unverified(
        std::shared_ptr<const net::tls::UnverifiedContext> context, std::string server_name);
    /// The same, and the server is verified as for clients. `verify_name`: "" = nobody will do.
    [[nodiscard]] boost::asio::awaitable<bool> start_tls(
        std::shared_ptr<const net::tls::ClientContext> context, std::string verify_name);
    /// All of it. `doing` completes `time-out after 1 s while ...`.
    [[nodiscard]] boost::asio::awaitable<bool> write(std::string_view bytes, const char* doing);
    /// At least one byte; 0 = ended(), or an error.
    [[nodiscard]] boost::asio::awaitable<std::size_t> read(std::span<char> into, const char* doing);

    /// What went wrong: `connection refused`, `time-out after 1 s while connecting`; "" = nothing.
    [[nodiscard]] const std::string& error() const noexcept { return error_; }
    /// The server has closed in good order; no error.
    [[nodiscard]] bool ended() const noexcept { return ended_; }
    [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }
    /// `TLSv1.3` once it is encrypted.
    [[nodiscard]] std::string_view tls_protocol() const noexcept;

    /// Says goodbye if there is room for it, and sends a FIN. Waits for nothing.
    void close() noexcept;

private:
    using Executor = boost::asio::io_context::executor_type;
    using Socket =
        boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor>;
    using Timer = boost::asio::basic_waitable_timer<
        std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;

    int start_connecting(const Endpoint& to);
    [[nodiscard]] boost::asio::awaitable<bool> finish_connecting();
    [[nodiscard]] boost::asio::awaitable<bool> send(std::string_view bytes, const char* doing);
    [[nodiscard]] boost::asio::awaitable<std::size_t> receive(std::span<char> into,
                                                              const char* doing);
    [[nodiscard]] boost::asio::awaitable<bool> shake_hands();
    [[nodiscard]] boost::asio::awaitable<std::size_t> feed_tls(const char* doing);
    bool fail(const boost::system::error_code& error, const char* doing);
    bool fail(std::string text);
    void say_goodbye() noexcept;
    void discard_input() noexcept;

    Socket socket_;
    Timer pause_;
    Duration timeout_;
    std::unique_ptr<net::tls::MemoryClient> tls_;
    std::string tls_input_;  // room for what comes before it is decrypted
    boost::system::error_code early_error_;  // the kernel told it while we were connecting
    std::string error_;
    bool ended_ = false;
    bool timed_out_ = false;
    Deadline deadline_;  // goes first: it closes the others
};

}  // namespace penstock::health
