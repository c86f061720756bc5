#include "admin/connection.hpp"

#include <charconv>
#include <utility>

#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/serialize.hpp>

#include "admin/bodies.hpp"
#include "admin/responses.hpp"
#include "admin/server.hpp"
#include "net/asio_words.hpp"

namespace penstock::admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using asio::awaitable;

namespace {

constexpr auto stream_interval = std::chrono::seconds(1);
constexpr std::size_t first_read = 4096;

std::uint64_t last_event_seen(const HttpRequest& request) {
    const auto header = request["Last-Event-ID"];
    std::uint64_t seq = 0;
    const auto [end, error] = std::from_chars(header.begin(), header.end(), seq);
    return error == std::errc() && end == header.end() ? seq : 0;
}

// What the client gets to know of a request that could not be read; nothing = it is just gone.
std::optional<Refusal> refusal_of(const beast::error_code& error) {
    if (error == http::error::header_limit) return Refusal{431, "the header is too large"};
    if (error == http::error::body_limit) return Refusal{413, "the body is too large"};
    if (error == beast::error::timeout || error == http::error::end_of_stream) return std::nullopt;
    if (error.category() == make_error_code(http::error::bad_method).category())
        return Refusal{400, "the request is no HTTP/1.1", {error.message()}};
    return std::nullopt;
}

}  // namespace

Connection::Connection(Stream stream, Caller caller, const AccessRules& rules, Host& host,
                       std::shared_ptr<asio::ssl::context> tls)
    : stream_(std::move(stream)),
      caller_(std::move(caller)),
      rules_(rules),
      host_(host),
      tls_(std::move(tls)),
      soon_(stream_.get_executor()) {}

Connection::~Connection() = default;

void Connection::close() noexcept {
    closed_ = true;
    stream_.close();
}

void Connection::finish() noexcept {
    if (!end_stream_ && waiting_) return close();
    closed_ = true;  // after the answer that is under way
    if (!end_stream_) return;
    stream_.expires_after(std::chrono::milliseconds(500));  // of a write that is under way
    end_stream_();
}

void Connection::finish_soon() noexcept {
    if (end_stream_ || !waiting_) return finish();
    closed_ = true;  // after the next answer
    // The time of a read that is under way cannot be changed any more.
    soon_.expires_after(std::chrono::milliseconds(500));
    soon_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!error && self && self->waiting_) self->close();
    });
}

awaitable<void> Connection::serve() {
    if (tls_ == nullptr) {
        auto serving = serve_on(stream_);
        co_await std::move(serving);
        co_return;
    }
    waiting_ = SteadyClock().now();
    asio::ssl::stream<Stream&> secure(stream_, *tls_);
    stream_.expires_after(Server::request_time);
    auto shaking = secure.async_handshake(asio::ssl::stream_base::server, net::as_result);
    const auto [error] = co_await std::move(shaking);
    if (error) co_return;
    auto serving = serve_on(secure);
    co_await std::move(serving);
    stream_.expires_after(std::chrono::seconds(1));
    auto parting = secure.async_shutdown(net::as_result);
    co_await std::move(parting);
}

template <typename S>
awaitable<void> Connection::serve_on(S& stream) {
    bool more = true;
    do {
        waiting_ = SteadyClock().now();
        auto answering = answer_next(stream);
        more = co_await std::move(answering);
    } while (more && !closed_);
}

template <typename S>
awaitable<bool> Connection::answer_next(S& stream) {
    auto buffer = asio::dynamic_buffer(buffer_, Server::max_header + Server::max_body);
    http::request_parser<http::string_body> parser;
    if (buffer_.empty()) {
        // The first byte may take its time; from then on the request has to arrive.
        stream_.expires_after(Server::idle_time);
        auto waiting = stream.async_read_some(buffer.prepare(first_read), net::as_result);
        const auto [error, size] = co_await std::move(waiting);
        if (error) co_return false;
        buffer.commit(size);
    }
    auto reading = read(stream, buffer, parser);
    const beast::error_code error = co_await std::move(reading);
    if (error) {
        if (const auto refusal = refusal_of(error)) {
            auto writing = write(stream, refuse(*refusal), 11, false, false);
            co_await std::move(writing);
        }
        co_return false;
    }
    waiting_.reset();
    HttpRequest request = parser.release();
    const bool head = request.method() == http::verb::head;
    const bool keep_alive = request.keep_alive();
    const unsigned version = request.version();
    const bool is_stream = host_.api().is_stream(request, caller_, rules_);
    if (is_stream && !head && host_.begin_stream()) {
        auto streaming = stream_to(stream, last_event_seen(request));
        co_await std::move(streaming);
        host_.end_stream();
        co_return false;
    }
    if (is_stream && head) {
        auto writing =
            write(stream, response(200, "text/event-stream", ""), version, keep_alive, true);
        co_return co_await std::move(writing);
    }
    auto handling = host_.api().handle(std::move(request), caller_, rules_);
    HttpResponse answer = co_await std::move(handling);
    if (answer.result_int() == 401 && !host_.note_denial(caller_))
        answer = refuse({429, "too many requests without the right token; wait a second"});
    auto writing = write(stream, std::move(answer), version, keep_alive, head);
    co_return co_await std::move(writing);
}

// The header first: it says how much may follow.
template <typename S, typename Buffer, typename Parser>
awaitable<beast::error_code> Connection::read(S& stream, Buffer& buffer, Parser& parser) {
    stream_.expires_after(Server::request_time);
    parser.header_limit(Server::max_header);
    parser.body_limit(Server::max_configuration);
    auto reading_header = http::async_read_header(stream, buffer, parser, net::as_result);
    const auto [header_error, header_size] = co_await std::move(reading_header);
    if (header_error) co_return header_error;
    if (!host_.api().brings_configuration(parser.get(), caller_, rules_)) {
        parser.body_limit(Server::max_body);
        if (parser.content_length().value_or(0) > Server::max_body)
            co_return http::make_error_code(http::error::body_limit);
    }
    auto reading = http::async_read(stream, buffer, parser, net::as_result);
    const auto [error, size] = co_await std::move(reading);
    co_return error;
}

template <typename S>
awaitable<bool> Connection::write(S& stream, HttpResponse response, unsigned version,
                                  bool keep_alive, bool head) {
    response.version(version);
    response.keep_alive(keep_alive);
    response.prepare_payload();
    stream_.expires_after(Server::answer_time);
    if (head) {
        http::response<http::empty_body> only_header(response.base());
        http::response_serializer<http::empty_body> serializer(only_header);
        auto writing = http::async_write_header(stream, serializer, net::as_result);
        const auto [error, size] = co_await std::move(writing);
        co_return !error && keep_alive;
    }
    auto writing = http::async_write(stream, response, net::as_result);
    const auto [error, size] = co_await std::move(writing);
    co_return !error && keep_alive;
}

// What ends the stream, as long as there is one: its coroutine may also be destroyed.
class Connection::StreamEnd {
public:
    StreamEnd(Connection& of, std::function<void()> end) : of_(of) {
        of_.end_stream_ = std::move(end);
    }
    StreamEnd(const StreamEnd&) = delete;
    StreamEnd& operator=(const StreamEnd&) = delete;
    ~StreamEnd() { of_.end_stream_ = nullptr; }

private:
    Connection& of_;
};

template <typename S>
awaitable<void> Connection::stream_to(S& stream, std::uint64_t since) {
    http::response<http::empty_body> header(http::status::ok, 11);
    header.set(http::field::content_type, "text/event-stream");
    header.set(http::field::cache_control, "no-store");
    header.chunked(true);
    http::response_serializer<http::empty_body> serializer(header);
    stream_.expires_after(Server::answer_time);
    auto heading = http::async_write_header(stream, serializer, net::as_result);
    const auto [error, size] = co_await std::move(heading);
    if (error) co_return;
    {
        EventRing& events = host_.api().operations().events();
        Timer timer(stream_.get_executor());
        const auto wake = [&timer] { timer.cancel(); };
        const auto subscription = events.subscribe(wake);
        const StreamEnd end(*this, wake);
        auto streaming = stream_events(stream, timer, since);
        co_await std::move(streaming);
    }
    if (!closed_) co_return;
    stream_.expires_after(std::chrono::seconds(1));
    auto ending = asio::async_write(stream, http::make_chunk_last(), net::as_result);
    co_await std::move(ending);
}

template <typename S>
awaitable<void> Connection::stream_events(S& stream, Timer& timer, std::uint64_t since) {
    const EventRing& events = host_.api().operations().events();
    // A number from before a restart, or an invented one, means nothing here.
    std::uint64_t seen = since == 0 || since > events.last() ? events.last() : since;
    auto next_status = std::chrono::steady_clock::time_point::min();
    const SteadyClock clock;
    while (!closed_) {
        const auto now = net::to_asio(clock.now());
        std::string text;
        for (const Event& event : events.since(seen)) {
            text += "id: " + std::to_string(event.seq) +
                    "\nevent: event\ndata: " + boost::json::serialize(to_json(event)) + "\n\n";
            seen = event.seq;
        }
        if (now >= next_status) {
            auto making = host_.status_text();
            const std::string status = co_await std::move(making);
            if (!status.empty()) text += "event: status\ndata: " + status + "\n\n";
            next_status = now + stream_interval;
        }
        if (!text.empty()) {
            auto writing = write_chunk(stream, std::move(text));
            const bool written = co_await std::move(writing);
            if (!written) co_return;
        }
        if (closed_ || events.last() > seen) continue;  // while it was written
        timer.expires_at(next_status);
        auto waiting = timer.async_wait(net::as_result);
        co_await std::move(waiting);
    }
}

template <typename S>
awaitable<bool> Connection::write_chunk(S& stream, std::string text) {
    stream_.expires_after(Server::answer_time);
    const auto chunk = http::make_chunk(asio::const_buffer(text.data(), text.size()));
    auto writing = asio::async_write(stream, chunk, net::as_result);
    const auto [error, size] = co_await std::move(writing);
    // Only writing has a deadline here: the client says nothing more.
    stream_.expires_never();
    co_return !error;
}

}  // namespace penstock::admin
