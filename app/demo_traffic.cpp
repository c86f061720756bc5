#include "app/demo_traffic.hpp"

#include <string>
#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr auto pause = std::chrono::milliseconds(50);
constexpr auto patience = std::chrono::seconds(5);

asio::awaitable<void> ask_once(asio::io_context& context, asio::ip::tcp::endpoint proxy) {
    beast::tcp_stream stream(context);
    stream.expires_after(patience);
    auto connecting = stream.async_connect(proxy, net::as_result);
    const auto [refused] = co_await std::move(connecting);
    if (refused) co_return;
    http::request<http::empty_body> request(http::verb::get, "/", 11);
    request.set(http::field::host, "demo");
    request.keep_alive(false);
    auto asking = http::async_write(stream, request, net::as_result);
    const auto [lost, sent] = co_await std::move(asking);
    if (lost) co_return;
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    auto listening = http::async_read(stream, buffer, response, net::as_result);
    co_await std::move(listening);
}

}  // namespace

asio::awaitable<void> demo_traffic(asio::io_context& context, asio::ip::tcp::endpoint proxy) {
    asio::steady_timer timer(context);
    for (;;) {
        auto asking = ask_once(context, proxy);
        co_await std::move(asking);
        timer.expires_after(pause);
        auto waiting = timer.async_wait(net::as_result);
        co_await std::move(waiting);
    }
}

}  // namespace penstock::app
