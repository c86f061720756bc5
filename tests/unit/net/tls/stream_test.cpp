#include "net/tls/stream.hpp"

#include <random>

#include <netinet/tcp.h>

#include "tests/unit/net/tls/segments.hpp"
#include "tests/unit/net/tls/tls_pair.hpp"

namespace penstock::net::tls {
namespace {

class TlsStreamTest : public TlsTest {};

std::string noise(std::size_t size) {
    std::minstd_rand random(7);
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
}

TEST_F(TlsStreamTest, both_sides_agree_and_know_each_other) {
    server_options.alpn = {"h2", "http/1.1"};
    client_options.alpn = {"http/1.1", "h2"};
    establish();
    EXPECT_EQ(server->stream->version(), "TLSv1.3");
    EXPECT_TRUE(server->stream->cipher().starts_with("TLS_")) << server->stream->cipher();
    EXPECT_EQ(server->stream->server_name(), "a.test");
    EXPECT_EQ(server->stream->alpn(), "h2") << "the server prefers it";
    EXPECT_EQ(client->stream->alpn(), "h2");
    EXPECT_EQ(client->stream->peer_common_name(), "a.test");
    EXPECT_EQ(client->stream->peer_subject(), "CN=a.test");
    EXPECT_EQ(server->stream->peer_subject(), "");
    EXPECT_FALSE(server->stream->resumed());
    EXPECT_EQ(pass(*client, *server, "hello"), "hello");
    EXPECT_EQ(pass(*server, *client, "world"), "world");
}

TEST_F(TlsStreamTest, tls12_where_that_is_the_most) {
    server_options.max_version = Version::tls12;
    establish();
    EXPECT_EQ(client->stream->version(), "TLSv1.2");
    EXPECT_TRUE(client->stream->cipher().starts_with("ECDHE-ECDSA-")) << client->stream->cipher();
    EXPECT_EQ(pass(*client, *server, "hello"), "hello");
}

TEST_F(TlsStreamTest, T15_much_data_passes_a_socket_that_blocks) {
    establish();
    const std::string text = noise(5 * 1024 * 1024);
    EXPECT_TRUE(pass(*server, *client, text) == text);
    EXPECT_TRUE(pass(*client, *server, text) == text);
}

TEST_F(TlsStreamTest, T15_a_large_record_is_read_in_small_pieces_without_another_event) {
    establish();
    const std::string text = noise(16384);
    ASSERT_EQ(client->stream->send(std::as_bytes(std::span(text))).bytes, text.size());
    std::string got;
    std::byte one;
    ASSERT_TRUE(turn_until(loop, [&] {
        const auto result = server->stream->recv({&one, 1});
        if (result.ok()) got += static_cast<char>(one);
        return !got.empty();
    }));
    while (server->stream->may_read() && server->stream->recv({&one, 1}).ok())
        got += static_cast<char>(one);
    EXPECT_TRUE(got == text) << "stalled after " << got.size();
    EXPECT_EQ(server->stream->recv({&one, 1}).status, IoStatus::want_read);
    EXPECT_FALSE(server->stream->may_read());
}

TEST_F(TlsStreamTest, a_blocked_record_may_be_offered_again_in_parts) {
    establish();
    const std::string text = noise(8 * 1024 * 1024);
    const auto bytes = std::as_bytes(std::span(text));
    std::size_t sent = client->stream->send(bytes).bytes;
    ASSERT_LT(sent, text.size()) << "the socket takes all of it";
    std::string got;
    std::array<std::byte, 65536> buffer;
    ASSERT_TRUE(turn_until(loop, [&] {
        const auto result = server->stream->recv(buffer);
        if (result.ok()) got.append(reinterpret_cast<const char*>(buffer.data()), result.bytes);
        // Fewer than the record that OpenSSL holds.
        const std::size_t most = std::min<std::size_t>(1000, text.size() - sent);
        for (int i = 0; i < 100 && most > 0 && sent + most <= text.size(); ++i) {
            const auto next = client->stream->send(bytes.subspan(sent, most));
            if (next.status == IoStatus::error || !next.ok()) break;
            sent += next.bytes;
        }
        return got.size() >= text.size();
    }));
    EXPECT_TRUE(got == text);
}

TEST_F(TlsStreamTest, what_belongs_together_leaves_together) {
    establish();
    const int fd = server->socket.fd();
    const int on = 1;
    ASSERT_EQ(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    auto before = segments_sent(fd);
    EXPECT_EQ(pass(*server, *client, "pong"), "pong");
    EXPECT_EQ(segments_sent(fd).with_data, before.with_data + 1) << "a ticket and the first data";
    EXPECT_TRUE(client->stream->take_session());

    before = segments_sent(fd);
    EXPECT_EQ(pass(*server, *client, noise(20000)).size(), 20000U);
    EXPECT_EQ(segments_sent(fd).with_data, before.with_data + 1) << "two records";

    before = segments_sent(fd);
    EXPECT_TRUE(server->stream->shutdown_write().ok());
    EXPECT_EQ(segments_sent(fd).all, before.all + 1) << "close_notify and FIN";
    EXPECT_EQ(end_of(*client), IoStatus::eof);
}

TEST_F(TlsStreamTest, peek_leaves_what_discard_takes) {
    establish();
    ASSERT_EQ(client->stream->send(std::as_bytes(std::span("hello", 5))).bytes, 5U);
    std::array<std::byte, 64> buffer;
    IoResult got{IoStatus::want_read};
    ASSERT_TRUE(turn_until(loop, [&] { return (got = server->stream->peek(buffer)).ok(); }));
    EXPECT_EQ(got.bytes, 5U);
    EXPECT_EQ(server->stream->discard(2).bytes, 2U);
    EXPECT_EQ(server->stream->recv(buffer).bytes, 3U);
    EXPECT_EQ(std::to_integer<char>(buffer[0]), 'l');
}

TEST_F(TlsStreamTest, T8_close_notify_is_an_end_and_the_other_direction_goes_on) {
    establish();
    ASSERT_EQ(client->stream->shutdown_write().status, IoStatus::ok);
    EXPECT_EQ(end_of(*server), IoStatus::eof);
    EXPECT_FALSE(server->stream->truncated());
    EXPECT_EQ(pass(*server, *client, "the answer"), "the answer")
        << "with a ticket before it, which arrives after the client's end";
    ASSERT_EQ(server->stream->shutdown_write().status, IoStatus::ok);
    EXPECT_EQ(end_of(*client), IoStatus::eof);
}

TEST_F(TlsStreamTest, T8_a_fin_without_close_notify_is_an_error_and_data_before_it_is_delivered) {
    establish();
    ASSERT_EQ(client->stream->send(std::as_bytes(std::span("tail", 4))).bytes, 4U);
    ASSERT_EQ(client->socket.shutdown_write().status, IoStatus::ok);
    std::string got;
    IoStatus status = IoStatus::ok;
    std::array<std::byte, 64> buffer;
    ASSERT_TRUE(turn_until(loop, [&] {
        const auto result = server->stream->recv(buffer);
        if (result.ok()) got.append(reinterpret_cast<const char*>(buffer.data()), result.bytes);
        status = result.status;
        return status == IoStatus::error || status == IoStatus::eof;
    }));
    EXPECT_EQ(got, "tail");
    EXPECT_EQ(status, IoStatus::error);
    EXPECT_TRUE(server->stream->truncated());
    EXPECT_EQ(server->stream->recv(buffer).status, IoStatus::error) << "and stays one";
    EXPECT_EQ(pass(*server, *client, "answer"), "answer") << "it may still be told";
}

TEST_F(TlsStreamTest, T8_a_reset_is_an_error_of_the_socket) {
    establish();
    client->socket.reset();
    EXPECT_EQ(end_of(*server), IoStatus::error);
    EXPECT_TRUE(server->socket.failed());
    EXPECT_FALSE(server->stream->truncated());
}

TEST_F(TlsStreamTest, a_latch_that_is_not_set_costs_no_system_call) {
    establish();
    std::array<std::byte, 64> buffer;
    while (server->stream->recv(buffer).ok()) {
    }
    ASSERT_FALSE(server->socket.readable.ready());
    // The socket has something, but nobody has told: only a system call could find it.
    ASSERT_EQ(client->stream->send(std::as_bytes(std::span("x", 1))).bytes, 1U);
    EXPECT_EQ(server->stream->recv(buffer).status, IoStatus::want_read);
}

TEST_F(TlsStreamTest, T9_close_notify_in_the_midst_of_a_handshake_fails) {
    connect();
    step(*client);
    client->stream.reset();
    const unsigned char close_notify[] = {21, 3, 3, 0, 2, 1, 0};
    say(UniqueFd(::dup(client->socket.fd())),
        {reinterpret_cast<const char*>(close_notify), sizeof close_notify});
    client->socket.finish();
    ASSERT_TRUE(turn_until(loop, [this] {
        step(*server);
        return settled(*server);
    }));
    EXPECT_EQ(server->shaken, IoStatus::error);
    EXPECT_EQ(server->stream->failure(), Failure::failed);
    EXPECT_NE(server->stream->error_text(), "");
}

TEST_F(TlsStreamTest, T9_unknown_alerts_end_a_stream_with_an_error) {
    for (const auto code : std::array<unsigned char, 2>{1, 255}) {
        connect();
        const unsigned char alert[] = {21, 3, 3, 0, 2, 2, code};
        client->stream.reset();
        say(UniqueFd(::dup(client->socket.fd())),
            {reinterpret_cast<const char*>(alert), sizeof alert});
        ASSERT_TRUE(turn_until(loop, [this] {
            step(*server);
            return settled(*server);
        }));
        EXPECT_EQ(server->shaken, IoStatus::error);
    }
}

TEST_F(TlsStreamTest, T1_what_is_not_tls_fails_at_once) {
    for (const std::string_view text :
         {"GET / HTTP/1.1\r\n\r\n", "\x80\x2e\x01\x03\x01\x00\x15\x00\x00"}) {
        connect();
        client->stream.reset();
        say(UniqueFd(::dup(client->socket.fd())), text);
        client->socket.shutdown_write();
        ASSERT_TRUE(turn_until(loop, [this] {
            step(*server);
            return settled(*server);
        }));
        EXPECT_EQ(server->shaken, IoStatus::error);
        EXPECT_EQ(server->stream->failure(), Failure::failed);
        EXPECT_NE(server->stream->error_text(), "");
    }
}

TEST_F(TlsStreamTest, T14_bytes_before_the_servers_hello_are_an_error_and_never_data) {
    connect();
    server->stream.reset();
    say(UniqueFd(::dup(server->socket.fd())), "220 injected\r\n");
    ASSERT_TRUE(turn_until(loop, [this] {
        step(*client);
        return settled(*client);
    }));
    EXPECT_EQ(client->shaken, IoStatus::error);
    EXPECT_NE(client->stream->error_text(), "");
    std::array<std::byte, 64> buffer;
    EXPECT_EQ(client->stream->recv(buffer).status, IoStatus::error);
}

}  // namespace
}  // namespace penstock::net::tls
