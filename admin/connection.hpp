#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/basic_stream.hpp>

#include "admin/access.hpp"
#include "admin/api.hpp"
#include "base/clock.hpp"

namespace penstock::admin {

using Protocol = boost::asio::generic::stream_protocol;
using Executor = boost::asio::io_context::executor_type;
using Stream = boost::beast::basic_stream<Protocol, Executor>;
using Timer = boost::asio::basic_waitable_timer<
    std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;

/// What connections need of the server that let them in.
class Host {
public:
    [[nodiscard]] virtual Api& api() noexcept = 0;
    /// The text of the stream's event `status`, made anew once a second at most;
    /// empty while the first one is being made for somebody else.
    [[nodiscard]] virtual boost::asio::awaitable<std::string> status_text() = 0;
    /// False if there are too many; else end_stream() is due.
    [[nodiscard]] virtual bool begin_stream() noexcept = 0;
    virtual void end_stream() noexcept = 0;
    /// Somebody was refused for want of the right token. False if that happens so often that it
    /// looks like guessing.
    [[nodiscard]] virtual bool note_denial(const Caller& caller) = 0;

protected:
    ~Host() = default;
};

/// One client of the API: requests and answers, one after the other, or the stream. Control
/// thread.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    /// `rules` and `host` must outlive it; `tls` may be null.
    Connection(Stream stream, Caller caller, const AccessRules& rules, Host& host,
               std::shared_ptr<boost::asio::ssl::context> tls);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Until the client has left, or was closed. What the network does ends it quietly.
    [[nodiscard]] boost::asio::awaitable<void> serve();
    void close() noexcept;
    /// The proxy ends, or the listener is closed: a stream says so to its client, and whoever waits
    /// for an answer gets it.
    void finish() noexcept;
    /// The listener is closed, the proxy goes on: as finish(), but a request that is on its way, or
    /// comes within half a second, is answered.
    void finish_soon() noexcept;
    /// Since when it waits for a request; nothing while one is being answered.
    [[nodiscard]] bool over_unix() const noexcept { return caller_.over_unix; }
    [[nodiscard]] std::optional<TimePoint> waiting_since() const noexcept { return waiting_; }

private:
    class StreamEnd;
    template <typename S>
    boost::asio::awaitable<void> serve_on(S& stream);
    template <typename S>
    boost::asio::awaitable<bool> answer_next(S& stream);
    template <typename S, typename Buffer, typename Parser>
    boost::asio::awaitable<boost::system::error_code> read(S& stream, Buffer& buffer,
                                                           Parser& parser);
    template <typename S>
    boost::asio::awaitable<bool> write(S& stream, HttpResponse response, unsigned version,
                                       bool keep_alive, bool head);
    template <typename S>
    boost::asio::awaitable<void> stream_to(S& stream, std::uint64_t since);
    template <typename S>
    boost::asio::awaitable<void> stream_events(S& stream, Timer& timer, std::uint64_t since);
    template <typename S>
    boost::asio::awaitable<bool> write_chunk(S& stream, std::string text);

    Stream stream_;
    Caller caller_;
    const AccessRules& rules_;
    Host& host_;
    std::shared_ptr<boost::asio::ssl::context> tls_;
    std::string buffer_;
    std::optional<TimePoint> waiting_;
    Timer soon_;  // finish_soon()
    std::function<void()> end_stream_;  // set while it streams
    bool closed_ = false;
};

}  // namespace penstock::admin
