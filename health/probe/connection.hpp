#pragma once

#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "health/probe/deadline.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The connection of one check, closed at its deadline and when it is destroyed; knows what the
/// check is doing, for messages.
class ProbeConnection {
public:
    using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                    boost::asio::io_context::executor_type>;

    ProbeConnection(boost::asio::io_context& context, TimePoint deadline);

    [[nodiscard]] Socket& socket() noexcept { return socket_; }
    /// What begins now: `waiting for the answer`. A literal.
    void enter(std::string_view phase) noexcept { phase_ = phase; }

    /// Connects to the target. What the awaitable refers to must outlive it.
    [[nodiscard]] boost::asio::awaitable<boost::system::error_code> connect(const Endpoint& to);

    /// The result for `error`, which ended what was entered last: `connection refused`,
    /// `time-out after 1 s while connecting`.
    [[nodiscard]] ProbeResult failure(const boost::system::error_code& error) const;

private:
    TimePoint started_;
    TimePoint ends_;
    std::string_view phase_ = "connecting";
    Socket socket_;
    Deadline deadline_;
};

/// `text` for a message: at most `most` characters, what is not printable ASCII as \xNN.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most = 120);
/// A failed check.
[[nodiscard]] ProbeResult failed(std::string detail);

}  // namespace penstock::health
