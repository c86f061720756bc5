#include "health/probe/http_probe.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>

namespace penstock::health {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr auto as_result = asio::as_tuple(asio::deferred);
constexpr std::uint32_t longest_header = std::uint32_t{16} << 10;
constexpr int most_interim_answers = 8;  // 1xx
constexpr std::size_t most_shown = 60;

using Parser = http::response_parser<http::string_body>;

bool contains(const std::vector<config::StatusRange>& ranges, unsigned status) {
    return std::ranges::any_of(ranges, [status](const config::StatusRange& range) {
        return status >= range.first && status <= range.last;
    });
}

std::string host_of(const config::HttpCheck& settings, const ProbeTarget& target) {
    if (!settings.host.empty()) return settings.host;
    if (target.address.is_unix()) return "localhost";
    if (!target.host.empty()) return fmt::format("{}:{}", target.host, target.address.port());
    return target.address.to_string();
}

std::unique_ptr<Parser> make_parser(bool is_head) {
    auto parser = std::make_unique<Parser>();
    parser->header_limit(longest_header);
    parser->body_limit(boost::none);  // bounded by who reads
    if (is_head) parser->skip(true);
    return parser;
}

ProbeResult judge(const config::HttpCheck& settings, unsigned status) {
    Role role = Role::none;
    if (contains(settings.primary_status, status)) role = Role::primary;
    if (contains(settings.replica_status, status)) role = Role::replica;
    const bool ok = role != Role::none || contains(settings.status, status);
    return {.ok = ok, .role = role, .detail = fmt::format("HTTP {}", status)};
}

bool is_http_error(const boost::system::error_code& error) {
    return error.category() == http::make_error_code(http::error::bad_version).category() &&
           error != http::error::end_of_stream;
}

}  // namespace

HttpProbe::HttpProbe(asio::io_context& context, config::HttpCheck settings, bool over_tls)
    : context_(context), settings_(std::move(settings)) {
    if (over_tls) tls_.emplace();
}

asio::awaitable<ProbeResult> HttpProbe::check(ProbeTarget target, TimePoint deadline) {
    ProbeConnection connection(context_, deadline);
    auto connecting = connection.connect(target.address);
    const auto error = co_await std::move(connecting);
    if (error) co_return connection.failure(error);
    if (!tls_) {
        auto asking = ask(connection.socket(), connection, target);
        co_return co_await std::move(asking);
    }
    connection.enter("shaking hands over TLS");
    const auto stream = tls_->stream(connection.socket(), target.host);
    const auto [refused] =
        co_await stream->async_handshake(asio::ssl::stream_base::client, as_result);
    if (refused) co_return connection.failure(refused);
    auto asking = ask(*stream, connection, target);
    co_return co_await std::move(asking);
}

template <typename Stream>
asio::awaitable<ProbeResult> HttpProbe::ask(Stream& stream, ProbeConnection& connection,
                                            const ProbeTarget& target) {
    http::request<http::empty_body> request;
    request.version(11);
    request.method_string(settings_.method);
    request.target(settings_.path);
    request.set(http::field::host, host_of(settings_, target));
    request.set(http::field::user_agent, "penstock-check");
    request.set(http::field::connection, "close");
    connection.enter("sending the request");
    const auto [unsent, size] = co_await http::async_write(stream, request, as_result);
    if (unsent) co_return connection.failure(unsent);

    connection.enter("waiting for the answer");
    boost::beast::flat_buffer buffer(max_answer);
    const bool is_head = settings_.method == "HEAD";
    auto parser = make_parser(is_head);
    for (int interim = 0;; ++interim) {
        const auto [error, read] =
            co_await http::async_read_header(stream, buffer, *parser, as_result);
        if (is_http_error(error))
            co_return failed(fmt::format("the answer is not HTTP: {}", error.message()));
        if (error) co_return connection.failure(error);
        if (parser->get().result_int() >= 200) break;
        if (interim == most_interim_answers) co_return failed("no end of interim answers");
        parser = make_parser(is_head);
    }
    const auto verdict = judge(settings_, parser->get().result_int());
    if (!verdict.ok || settings_.body_contains.empty()) co_return verdict;

    connection.enter("reading the answer");
    std::size_t total = 0;
    const std::string& body = parser->get().body();
    while (body.find(settings_.body_contains) == std::string::npos) {
        if (parser->is_done() || total >= max_answer)
            co_return failed(fmt::format("{}, but the body lacks \"{}\"", verdict.detail,
                                         printable(settings_.body_contains, most_shown)));
        const auto [error, read] =
            co_await http::async_read_some(stream, buffer, *parser, as_result);
        total += read;
        if (error) co_return connection.failure(error);
    }
    co_return verdict;
}

}  // namespace penstock::health
