#include "tests/integration/api_server.hpp"

#include <unistd.h>

#include <atomic>
#include <future>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "net/asio_words.hpp"

namespace penstock::test {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

using Peer = asio::generic::stream_protocol::socket;

}  // namespace

struct ApiServer::Loop {
    asio::io_context context{1};
    std::list<std::shared_ptr<Peer>> streams;
    std::atomic<std::size_t> stream_count = 0;

    template <class Acceptor>
    asio::awaitable<void> accept(ApiServer& server, Acceptor acceptor) {
        for (;;) {
            typename Acceptor::protocol_type::socket socket(context);
            const auto [error] = co_await acceptor.async_accept(socket, net::as_result);
            if (error) co_return;
            auto peer = std::make_shared<Peer>(std::move(socket));
            asio::co_spawn(context, serve(server, std::move(peer)), net::rethrow_failure);
        }
    }

    asio::awaitable<void> serve(ApiServer& server, std::shared_ptr<Peer> peer) {
        boost::beast::flat_buffer buffer;
        http::request<http::string_body> request;
        const auto [error, n] = co_await http::async_read(*peer, buffer, request, net::as_result);
        if (error) co_return;
        const std::string target(request.target());
        auto answer = server.take({std::string(request.method_string()) + " " + target,
                                   request.body(), std::string(request[http::field::authorization]),
                                   std::string(request[http::field::host])});
        if (target == "/api/v1/stream" && answer.status == 404) {
            const std::string head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                "Transfer-Encoding: chunked\r\n\r\n";
            const auto bytes = asio::buffer(head);
            const auto [write_error, written] =
                co_await asio::async_write(*peer, bytes, net::as_result);
            if (write_error) co_return;
            streams.push_back(peer);
            ++stream_count;
            co_return;
        }
        http::response<http::string_body> response(http::int_to_status(answer.status), 11);
        response.set(http::field::content_type, "application/json");
        response.keep_alive(false);
        response.body() = answer.body;
        response.prepare_payload();
        co_await http::async_write(*peer, response, net::as_result);
    }
};

ApiServer::ApiServer(const std::string& at) : loop_(std::make_unique<Loop>()) {
    if (at.starts_with("unix:")) {
        const std::string path = at.substr(5);
        ::unlink(path.c_str());
        asio::local::stream_protocol::acceptor acceptor(loop_->context, path);
        address_ = at;
        asio::co_spawn(loop_->context, loop_->accept(*this, std::move(acceptor)),
                       net::rethrow_failure);
    } else {
        asio::ip::tcp::acceptor acceptor(loop_->context, {asio::ip::address_v4::loopback(), 0});
        address_ = "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
        asio::co_spawn(loop_->context, loop_->accept(*this, std::move(acceptor)),
                       net::rethrow_failure);
    }
    thread_ = std::thread([this] {
        const auto work = asio::make_work_guard(loop_->context);
        loop_->context.run();
    });
}

ApiServer::~ApiServer() {
    loop_->context.stop();
    thread_.join();
    if (address_.starts_with("unix:")) ::unlink(address_.substr(5).c_str());
}

void ApiServer::answer(const std::string& request, const std::string& body, unsigned status) {
    const std::lock_guard lock(mutex_);
    answers_[request] = {status, body};
}

void ApiServer::answer_status(const std::string& status, const std::string& listeners,
                              const std::string& upstreams) {
    answer("GET /api/v1/status", status);
    answer("GET /api/v1/listeners", listeners);
    answer("GET /api/v1/upstreams", upstreams);
}

std::vector<ApiServer::Seen> ApiServer::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

ApiServer::Answer ApiServer::take(Seen seen) {
    const std::lock_guard lock(mutex_);
    const auto found = answers_.find(seen.request);
    seen_.push_back(std::move(seen));
    if (found != answers_.end()) return found->second;
    return {404, R"({"error":"there is nothing here","details":[]})"};
}

bool ApiServer::wait_for_streams(std::size_t count, milliseconds limit) {
    return wait_for([this, count] { return loop_->stream_count >= count; }, limit);
}

void ApiServer::write_to_streams(const std::string& bytes) {
    asio::post(loop_->context, asio::use_future([&] {
                   for (const auto& stream : loop_->streams) {
                       boost::system::error_code gone;
                       asio::write(*stream, asio::buffer(bytes), gone);
                   }
               }))
        .get();
}

void ApiServer::push(const std::string& name, const std::string& data) {
    const std::string event = "event: " + name + "\ndata: " + data + "\n\n";
    char size[20];
    std::snprintf(size, sizeof size, "%zx", event.size());
    write_to_streams(std::string(size) + "\r\n" + event + "\r\n");
}

void ApiServer::end_streams() {
    write_to_streams("0\r\n\r\n");
    cut_streams();
}

void ApiServer::cut_streams() {
    asio::post(loop_->context, asio::use_future([this] {
                   loop_->streams.clear();
                   loop_->stream_count = 0;
               }))
        .get();
}

}  // namespace penstock::test
