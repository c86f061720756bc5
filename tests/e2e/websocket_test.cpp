#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <random>

#include "tests/e2e/scenario.hpp"

/// WebSocket through the proxy: an upgraded connection, frames of all sizes, pings from both sides,
/// the close handshake.
namespace penstock::test {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using Stream = websocket::stream<beast::tcp_stream>;

constexpr std::string_view farewell = "that was all";

struct Settings {
    bool compressed = false;
    std::size_t fragment = 4096;  // bytes of one frame of a fragmented message
    std::size_t largest = 4U << 20;  // bytes of the last message
};

std::string name_of(const Settings& settings) {
    return (settings.compressed ? "compressed_" : "plain_") + std::to_string(settings.fragment);
}

// How the test framework shows a setting.
void PrintTo(const Settings& settings, std::ostream* out) { *out << name_of(settings); }

void apply(Stream& stream, const Settings& settings) {
    websocket::permessage_deflate deflate;
    deflate.client_enable = deflate.server_enable = settings.compressed;
    stream.set_option(deflate);
    stream.read_message_max(64U << 20);
    stream.auto_fragment(true);
    stream.write_buffer_bytes(settings.fragment);
}

// What one side saw of the other's control frames.
struct Seen {
    std::vector<std::string> pings;
    std::vector<std::string> pongs;
    websocket::close_reason closed{};
};

void watch_control_frames(Stream& stream, Seen& seen) {
    stream.control_callback([&seen](websocket::frame_type type, beast::string_view payload) {
        if (type == websocket::frame_type::ping) seen.pings.emplace_back(payload);
        if (type == websocket::frame_type::pong) seen.pongs.emplace_back(payload);
    });
}

// Accepts one client, sends back what it sends, with a ping before each message.
asio::awaitable<void> serve_one(tcp::acceptor& acceptor, const Settings& settings, Seen& seen) {
    Stream stream(co_await acceptor.async_accept(asio::use_awaitable));
    apply(stream, settings);
    watch_control_frames(stream, seen);
    co_await stream.async_accept(asio::use_awaitable);
    for (;;) {
        beast::flat_buffer message;
        const auto [error, size] =
            co_await stream.async_read(message, asio::as_tuple(asio::use_awaitable));
        if (error == websocket::error::closed) break;
        if (error) throw boost::system::system_error(error, "server reads");
        co_await stream.async_ping("from server", asio::use_awaitable);
        stream.binary(stream.got_binary());
        co_await stream.async_write(message.data(), asio::use_awaitable);
    }
    seen.closed = stream.reason();
}

asio::awaitable<void> converse(tcp::endpoint proxy, const std::vector<std::string>& messages,
                               const Settings& settings, Seen& seen) {
    Stream stream(co_await asio::this_coro::executor);
    co_await beast::get_lowest_layer(stream).async_connect(proxy, asio::use_awaitable);
    apply(stream, settings);
    watch_control_frames(stream, seen);
    co_await stream.async_handshake("example.test", "/echo", asio::use_awaitable);
    bool binary = false;
    for (const std::string& message : messages) {
        co_await stream.async_ping("from client", asio::use_awaitable);
        stream.binary(binary);
        co_await stream.async_write(asio::buffer(message), asio::use_awaitable);
        beast::flat_buffer echo;
        co_await stream.async_read(echo, asio::use_awaitable);
        EXPECT_EQ(stream.got_binary(), binary);
        // EXPECT_EQ would print both.
        EXPECT_TRUE(beast::buffers_to_string(echo.data()) == message) << message.size();
        binary = true;
    }
    co_await stream.async_close({websocket::close_code::normal, beast::string_view(farewell)},
                                asio::use_awaitable);
    seen.closed = stream.reason();
}

// A text first, then binary messages around the limits of the frame's length fields, then large
// ones.
std::vector<std::string> some_messages(std::size_t largest) {
    std::mt19937 random(7);  // fixed: the same in every run
    std::vector<std::string> messages{"Grüße"};
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{125}, std::size_t{126}, std::size_t{65535},
          std::size_t{65536}, largest}) {
        std::string& message = messages.emplace_back(size, '\0');
        for (char& byte : message) byte = static_cast<char>(random());
    }
    return messages;
}

class WebSocket : public ::testing::TestWithParam<Settings> {};

TEST_P(WebSocket, ConversationArrivesWhole) {
    asio::io_context context;
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    ProxyProcess proxy(
        proxy_for({"127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())}));
    const tcp::endpoint entrance(asio::ip::address_v4::loopback(), proxy.address().port());

    const auto messages = some_messages(GetParam().largest);
    Seen server, client;
    int ended = 0;
    const auto rethrow = [&ended](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
        ++ended;
    };
    asio::co_spawn(context, serve_one(acceptor, GetParam(), server), rethrow);
    asio::co_spawn(context, converse(entrance, messages, GetParam(), client), rethrow);
    context.run_for(scaled(30s));
    ASSERT_EQ(ended, 2) << "the conversation did not come to its end";

    EXPECT_EQ(server.pings, std::vector<std::string>(messages.size(), "from client"));
    EXPECT_EQ(client.pongs, server.pings);
    EXPECT_EQ(client.pings, std::vector<std::string>(messages.size(), "from server"));
    EXPECT_EQ(server.pongs, client.pings);
    EXPECT_EQ(server.closed.code, websocket::close_code::normal);
    EXPECT_EQ(std::string_view(server.closed.reason), farewell);
    EXPECT_EQ(client.closed.code, websocket::close_code::normal);

    const auto lines = stop_with_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).reason, "completed");
    std::uint64_t payload = 0;
    for (const std::string& message : messages) payload += message.size();
    EXPECT_GT(lines.at(0).bytes_to_backend, payload);  // random bytes do not shrink
    EXPECT_GT(lines.at(0).bytes_to_client, payload);
}

INSTANTIATE_TEST_SUITE_P(Frames, WebSocket,
                         ::testing::Values(Settings{.fragment = 4096},
                                           Settings{.fragment = 1U << 20},
                                           Settings{.compressed = true, .largest = 300'000}),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace penstock::test
