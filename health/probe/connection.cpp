#include "health/probe/connection.hpp"

#include <chrono>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

namespace penstock::health {

namespace asio = boost::asio;

namespace {

constexpr std::size_t longest_detail = 200;

std::string seconds_text(Duration duration) {
    return fmt::format("{:.3g} s", std::chrono::duration<double>(duration).count());
}

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
    std::string out;
    for (const char c : text) {
        if (out.size() + 4 > most) return out + "...";
        if (c >= 0x20 && c < 0x7f && c != '\\')
            out += c;
        else if (c == '\n')
            out += "\\n";
        else if (c == '\r')
            out += "\\r";
        else
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    return out;
}

ProbeResult failed(std::string detail) {
    if (detail.empty()) detail = "failed";
    if (detail.size() > longest_detail) detail.resize(longest_detail);
    return {.ok = false, .role = Role::none, .detail = std::move(detail)};
}

ProbeConnection::ProbeConnection(asio::io_context& context, TimePoint deadline)
    : started_(SteadyClock().now()),
      ends_(deadline),
      socket_(context),
      deadline_(context, deadline, [this] {
          boost::system::error_code ignored;
          socket_.close(ignored);
      }) {}

asio::awaitable<boost::system::error_code> ProbeConnection::connect(const Endpoint& to) {
    sockaddr_storage raw;
    const auto length = to.to_sockaddr(raw);
    boost::system::error_code error;
    socket_.open(asio::generic::stream_protocol(to.family(), 0), error);
    if (error) co_return error;
    const asio::generic::stream_protocol::endpoint endpoint(&raw, length, 0);
    const auto [result] = co_await socket_.async_connect(endpoint, asio::as_tuple(asio::deferred));
    co_return result;
}

ProbeResult ProbeConnection::failure(const boost::system::error_code& error) const {
    if (deadline_.expired())
        return failed(
            fmt::format("time-out after {} while {}", seconds_text(ends_ - started_), phase_));
    if (error == asio::error::eof || error == asio::ssl::error::stream_truncated)
        return failed(fmt::format("the server closed the connection while {}", phase_));
    auto text = error.message();
    if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] += 'a' - 'A';
    return failed(fmt::format("{} while {}", printable(text), phase_));
}

}  // namespace penstock::health
