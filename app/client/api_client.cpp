#include "app/client/api_client.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>

#include "app/client/answer_view.hpp"
#include "net/asio_words.hpp"

namespace penstock::app::client {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

using Stream = beast::basic_stream<asio::generic::stream_protocol>;
using Parser = http::response_parser<http::string_body>;
using ErrorCode = boost::system::error_code;

constexpr std::uint64_t longest_answer = 256UL << 20U;
constexpr std::uint32_t longest_header = 64U << 10U;

std::string in_words(const ErrorCode& error, Duration patience) {
    if (error == beast::error::timeout)
        return fmt::format("no answer within {} s",
                           std::chrono::duration_cast<std::chrono::seconds>(patience).count());
    if (error == http::error::end_of_stream || error == http::error::partial_message)
        return "the connection was closed before the answer was whole";
    if (error.category() == asio::error::get_system_category() || error.value() == 0)
        return error.message();
    return "the answer is not HTTP (" + error.message() + ")";
}

ClientError failure(const AdminAddress& address, const ErrorCode& error, Duration patience) {
    return {ClientError::Kind::failed,
            fmt::format("{}: {}", address.to_string(), in_words(error, patience))};
}

/// Somebody is there, and no answer begins: a port with TLS, which commands do not speak, ends like
/// that.
ClientError no_answer(const AdminAddress& address, const ErrorCode& error, Duration patience) {
    auto out = failure(address, error, patience);
    if (!address.is_unix() && error != beast::error::timeout)
        out.message +=
            "\nIf that port speaks TLS: the commands do not. Use the proxy's unix socket, from "
            "elsewhere through ssh.";
    return out;
}

asio::awaitable<ErrorCode> connect_unix(Stream& stream, const std::string& path) {
    std::string name = path;
    if (name.starts_with('@')) name[0] = '\0';
    const asio::generic::stream_protocol::endpoint endpoint(
        asio::local::stream_protocol::endpoint{name});
    const auto [error] = co_await stream.async_connect(endpoint, net::as_result);
    co_return error;
}

// The stream's deadline does not reach the system's resolver, which has one of its own.
asio::awaitable<ErrorCode> connect_tcp(Stream& stream, const AdminAddress& address) {
    asio::ip::tcp::resolver resolver(stream.get_executor());
    const std::string port = std::to_string(address.port);
    auto resolving = resolver.async_resolve(address.host, port, net::as_result);
    const auto [unknown, found] = co_await std::move(resolving);
    if (unknown) co_return unknown;
    ErrorCode last = asio::error::host_not_found;
    for (const auto& entry : found) {
        const asio::generic::stream_protocol::endpoint endpoint(entry.endpoint());
        const auto [error] = co_await stream.async_connect(endpoint, net::as_result);
        if (!error) co_return error;
        last = error;
        // Another family needs another socket.
        ErrorCode ignored;
        stream.socket().close(ignored);
        if (error == beast::error::timeout) break;
    }
    co_return last;
}

/// What was tried, why it failed, and what to do.
std::string unreachable_text(const std::string& attempts, bool forbidden) {
    std::string out = "no running proxy reached; tried\n" + attempts;
    if (forbidden)
        out +=
            "The socket is there, but this user may not use it: become root or the user of the "
            "proxy, or see admin.listener's socket_group and socket_mode.";
    else
        out +=
            "Is `penstock run` running? If its [[admin.listener]] has another bind, say so: "
            "--admin ADDRESS.";
    return out;
}

/// Connects to the first address where somebody listens; says which.
asio::awaitable<std::expected<AdminAddress, ClientError>> connect_to_first(
    Stream& stream, const ClientOptions& options) {
    std::string attempts;
    bool forbidden = false;
    for (const auto& address : options.addresses) {
        stream.expires_after(options.patience);
        auto attempt = address.is_unix() ? connect_unix(stream, address.unix_path)
                                         : connect_tcp(stream, address);
        const ErrorCode error = co_await std::move(attempt);
        if (!error) co_return address;
        attempts +=
            fmt::format("  {}: {}\n", address.to_string(), in_words(error, options.patience));
        forbidden = forbidden || (address.is_unix() && error == asio::error::access_denied);
        ErrorCode ignored;
        stream.socket().close(ignored);
    }
    co_return std::unexpected(
        ClientError{ClientError::Kind::unreachable, unreachable_text(attempts, forbidden)});
}

using HttpRequest = http::request<http::string_body>;

HttpRequest http_request(const Request& request, const AdminAddress& address,
                         const std::string& token) {
    HttpRequest out(request.post ? http::verb::post : http::verb::get, request.target, 11);
    out.set(http::field::host, address.host_header());
    out.set(http::field::user_agent, "penstock");
    if (!token.empty()) out.set(http::field::authorization, "Bearer " + token);
    if (request.post) {
        out.set(http::field::content_type,
                beast::string_view(request.type.data(), request.type.size()));
        out.body() = request.body;
        out.prepare_payload();
    }
    return out;
}

ClientError refusal(const Parser& parser, const AdminAddress& address) {
    const auto& answer = parser.get();
    return {ClientError::Kind::refused,
            refusal_text(answer.result_int(), answer.body(), address.to_string()), answer.body(),
            answer.result_int()};
}

asio::awaitable<std::expected<std::string, ClientError>> exchange(const ClientOptions& options,
                                                                  const Request& request) {
    Stream stream(co_await asio::this_coro::executor);
    auto connecting = connect_to_first(stream, options);
    const auto address = co_await std::move(connecting);
    if (!address) co_return std::unexpected(address.error());
    HttpRequest question = http_request(request, *address, options.token);
    question.keep_alive(false);
    const Duration patience = std::max(options.patience, request.patience);
    stream.expires_after(patience);
    const auto [write_error, written] =
        co_await http::async_write(stream, question, net::as_result);
    // A proxy that refuses may have answered before it has read everything.
    beast::flat_buffer buffer;
    Parser parser;
    parser.body_limit(longest_answer);
    parser.header_limit(longest_header);
    const auto [error, read] = co_await http::async_read(stream, buffer, parser, net::as_result);
    if (error) {
        const ErrorCode cause = write_error ? write_error : error;
        co_return std::unexpected(parser.is_header_done() ? failure(*address, cause, patience)
                                                          : no_answer(*address, cause, patience));
    }
    if (http::to_status_class(parser.get().result()) != http::status_class::successful)
        co_return std::unexpected(refusal(parser, *address));
    co_return std::move(parser.get().body());
}

}  // namespace

std::expected<std::string, ClientError> ApiClient::ask(const Request& request) const {
    asio::io_context context(1);
    auto answer = asio::co_spawn(context, exchange(options_, request), asio::use_future);
    context.run();
    return answer.get();
}

struct EventStream::Connection {
    explicit Connection(asio::io_context& context) : stream(context) {}

    Stream stream;
    beast::flat_buffer buffer;
    Parser parser;
    AdminAddress address;
};

EventStream::EventStream(asio::io_context& context, ClientOptions options)
    : options_(std::move(options)), connection_(std::make_unique<Connection>(context)) {}

EventStream::~EventStream() = default;

asio::awaitable<std::expected<void, ClientError>> EventStream::open() {
    auto& [stream, buffer, parser, peer] = *connection_;
    auto connecting = connect_to_first(stream, options_);
    const auto address = co_await std::move(connecting);
    if (!address) co_return std::unexpected(address.error());
    peer = *address;
    address_ = peer.to_string();
    const Request request{.target = "/api/v1/stream"};
    HttpRequest question = http_request(request, peer, options_.token);
    question.set(http::field::accept, "text/event-stream");
    const auto [write_error, written] =
        co_await http::async_write(stream, question, net::as_result);
    parser.body_limit(boost::none);
    parser.header_limit(longest_header);
    const auto [error, read] =
        co_await http::async_read_header(stream, buffer, parser, net::as_result);
    if (error)
        co_return std::unexpected(
            no_answer(peer, write_error ? write_error : error, options_.patience));
    if (parser.get().result() == http::status::ok) co_return std::expected<void, ClientError>();
    const auto [cut, more] = co_await http::async_read(stream, buffer, parser, net::as_result);
    if (cut) co_return std::unexpected(failure(peer, cut, options_.patience));
    co_return std::unexpected(refusal(parser, peer));
}

asio::awaitable<std::expected<std::optional<ServerEvent>, ClientError>> EventStream::next() {
    auto& [stream, buffer, parser, peer] = *connection_;
    for (;;) {
        if (auto event = parser_.next()) co_return event;
        if (parser.is_done()) co_return std::optional<ServerEvent>();
        stream.expires_after(options_.silence);
        const auto [error, read] =
            co_await http::async_read_some(stream, buffer, parser, net::as_result);
        const bool fits = parser_.feed(parser.get().body());
        parser.get().body().clear();
        if (!fits)
            co_return std::unexpected(ClientError{
                ClientError::Kind::failed, address_ + ": an event of the stream is too long"});
        if (error == beast::error::timeout)
            co_return std::unexpected(ClientError{
                ClientError::Kind::failed,
                fmt::format(
                    "{}: silent for {} s", address_,
                    std::chrono::duration_cast<std::chrono::seconds>(options_.silence).count())});
        if (error == http::error::partial_message)
            co_return std::unexpected(
                ClientError{ClientError::Kind::failed, address_ + ": the stream broke off"});
        if (error && error != http::error::end_of_stream)
            co_return std::unexpected(failure(peer, error, options_.silence));
        if (error) co_return std::optional<ServerEvent>();
    }
}

}  // namespace penstock::app::client
