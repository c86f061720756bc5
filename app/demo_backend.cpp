#include "app/demo_backend.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>

#include "app/process.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;
namespace http = boost::beast::http;

DemoBackends::DemoBackends(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        Acceptor acceptor(context_, {asio::ip::address_v4::loopback(), 0});
        auto& server = *servers_.emplace_back(std::make_unique<Server>(
            Server{fmt::format("backend-{}", i + 1), acceptor.local_endpoint().port()}));
        asio::co_spawn(context_, accept(std::move(acceptor), server), net::rethrow_failure);
    }
    thread_ = std::thread([this] {
        block_signals();
        context_.run();
    });
}

DemoBackends::~DemoBackends() {
    context_.stop();
    thread_.join();
}

asio::awaitable<void> DemoBackends::accept(Acceptor acceptor, Server& server) {
    for (;;) {
        asio::ip::tcp::socket socket(context_);
        const auto [error] = co_await acceptor.async_accept(socket, net::as_result);
        if (!error)
            asio::co_spawn(context_, answer(std::move(socket), server), net::rethrow_failure);
    }
}

asio::awaitable<void> DemoBackends::answer(asio::ip::tcp::socket socket, Server& server) {
    boost::beast::flat_buffer buffer;
    for (;;) {
        http::request<http::string_body> request;
        const auto [read_error, read] =
            co_await http::async_read(socket, buffer, request, net::as_result);
        if (read_error) co_return;
        http::response<http::string_body> response(http::status::ok, request.version());
        response.set(http::field::content_type, "text/plain; charset=utf-8");
        response.keep_alive(request.keep_alive());
        response.body() = fmt::format("{} answers, number {}\n", server.name, ++server.answered);
        response.prepare_payload();
        const auto [write_error, written] =
            co_await http::async_write(socket, response, net::as_result);
        if (write_error || !response.keep_alive()) co_return;
    }
}

}  // namespace penstock::app
