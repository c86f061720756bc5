#include "health/probe/exchange_probe.hpp"

#include <array>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace penstock::health {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::deferred);
constexpr std::size_t most_shown = 60;

}  // namespace

ExchangeProbe::ExchangeProbe(asio::io_context& context, config::ExchangeCheck settings,
                             bool over_tls)
    : context_(context), settings_(std::move(settings)) {
    if (over_tls) tls_.emplace();
}

asio::awaitable<ProbeResult> ExchangeProbe::check(ProbeTarget target, TimePoint deadline) {
    ProbeConnection connection(context_, deadline);
    auto connecting = connection.connect(target.address);
    const auto error = co_await std::move(connecting);
    if (error) co_return connection.failure(error);
    if (!tls_) {
        auto talking = talk(connection.socket(), connection);
        co_return co_await std::move(talking);
    }
    connection.enter("shaking hands over TLS");
    const auto stream = tls_->stream(connection.socket(), target.host);
    const auto [refused] =
        co_await stream->async_handshake(asio::ssl::stream_base::client, as_result);
    if (refused) co_return connection.failure(refused);
    auto talking = talk(*stream, connection);
    co_return co_await std::move(talking);
}

template <typename Stream>
asio::awaitable<ProbeResult> ExchangeProbe::talk(Stream& stream, ProbeConnection& connection) {
    if (!settings_.send.empty()) {
        connection.enter("sending");
        const auto [error, sent] =
            co_await asio::async_write(stream, asio::buffer(settings_.send), as_result);
        if (error) co_return connection.failure(error);
    }
    const ProbeResult good{.ok = true, .role = Role::none, .detail = {}};
    if (settings_.send.empty() && settings_.expect.empty()) co_return good;
    connection.enter("waiting for the answer");
    std::string answer;
    std::array<char, 4096> part;
    while (answer.size() < max_answer) {
        const auto [error, size] = co_await stream.async_read_some(asio::buffer(part), as_result);
        answer.append(part.data(), size);
        if (!answer.empty() && answer.find(settings_.expect) != std::string::npos) co_return good;
        if (!error) continue;
        auto result = connection.failure(error);
        if (!answer.empty())
            result = failed(
                fmt::format("{}; it said \"{}\"", result.detail, printable(answer, most_shown)));
        co_return result;
    }
    co_return failed(fmt::format("the answer goes on without what is expected: \"{}\"",
                                 printable(answer, most_shown)));
}

}  // namespace penstock::health
