#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/unit/net/tls/tls_pair.hpp"

namespace penstock::net::tls {
namespace {

using Ssl = std::unique_ptr<SSL, decltype([](SSL* ssl) { SSL_free(ssl); })>;

/// A client that OpenSSL drives without our manners.
class TlsAbuseTest : public TlsTest {
protected:
    Ssl rude;

    void connect_rudely(SSL_SESSION* resume = nullptr) {
        connect();
        client->stream.reset();
        rude.reset(SSL_new(client_context->native()));
        SSL_set_fd(rude.get(), client->socket.fd());
        SSL_set_connect_state(rude.get());
        if (resume != nullptr) SSL_set_session(rude.get(), resume);
    }
    void establish_rudely() {
        connect_rudely();
        shake_rudely();
    }
    void shake_rudely() {
        ASSERT_TRUE(turn_until(loop, [this] {
            const int result = SSL_do_handshake(rude.get());
            step(*server);
            return result == 1 && settled(*server);
        }));
        ASSERT_EQ(server->shaken, IoStatus::ok);
    }
    void send_raw(std::string_view bytes, int times) {
        connect();
        client->stream.reset();
        std::string all;
        for (int i = 0; i < times; ++i) all += bytes;
        say(UniqueFd(::dup(client->socket.fd())), all);
    }
    bool fails() {
        return turn_until(loop, [this] {
            step(*server);
            return server->shaken == IoStatus::error;
        });
    }
    void update_keys(int times) {
        for (int i = 0; i < times; ++i) {
            ASSERT_EQ(SSL_key_update(rude.get(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            ASSERT_EQ(SSL_do_handshake(rude.get()), 1);
        }
    }
};

TEST_F(TlsAbuseTest, T5_a_flood_of_new_keys_ends_the_stream) {
    establish_rudely();
    update_keys(2000);
    EXPECT_EQ(end_of(*server), IoStatus::error);
    EXPECT_EQ(server->stream->error_text(), "too many messages without data");
}

TEST_F(TlsAbuseTest, T15_small_records_that_were_blocked_may_be_offered_again_in_parts) {
    connect_rudely();
    SSL_set_tlsext_max_fragment_length(rude.get(), TLSEXT_max_fragment_length_512);
    shake_rudely();
    const std::string text(8 * 1024 * 1024, 'a');
    const auto bytes = std::as_bytes(std::span(text));
    std::size_t sent = server->stream->send(bytes).bytes;
    ASSERT_LT(sent, text.size()) << "the socket takes all of it";
    // What follows the part that is offered is nobody's business.
    const std::string part = std::string(600, 'a') + std::string(20000, 'X');
    std::size_t got = 0;
    bool strange = false;
    std::array<char, 16384> buffer;
    ASSERT_TRUE(turn_until(loop, [&] {
        for (int n = 1; n > 0;) {
            n = SSL_read(rude.get(), buffer.data(), buffer.size());
            if (n <= 0) break;
            got += static_cast<std::size_t>(n);
            strange |= std::string_view(buffer.data(), static_cast<std::size_t>(n)).contains('X');
        }
        for (int i = 0; i < 1000 && sent < text.size(); ++i) {
            const std::size_t most = std::min<std::size_t>(600, text.size() - sent);
            const auto next = server->stream->send(std::as_bytes(std::span(part)).first(most));
            if (!next.ok()) break;
            sent += next.bytes;
        }
        return got >= text.size() || strange;
    }));
    EXPECT_FALSE(strange);
    EXPECT_EQ(got, text.size());
}

TEST_F(TlsAbuseTest, T5_new_keys_between_data_are_fine) {
    establish_rudely();
    std::string got;
    std::array<std::byte, 64> buffer;
    for (int i = 0; i < 20; ++i) {
        update_keys(5);
        ASSERT_EQ(SSL_write(rude.get(), "x", 1), 1);
        ASSERT_TRUE(turn_until(loop, [&] { return server->stream->recv(buffer).ok(); }));
    }
    EXPECT_EQ(server->stream->error_text(), "");
}

TEST_F(TlsAbuseTest, T5_floods_of_alerts_and_of_changed_ciphers_end_a_handshake) {
    send_raw({"\x15\x03\x01\x00\x02\x01\x5a", 7}, 100);  // warning: user_canceled
    EXPECT_TRUE(fails());
    send_raw({"\x14\x03\x03\x00\x01\x01", 6}, 100);
    EXPECT_TRUE(fails());
    send_raw({"\x16\x03\x01\x00\x00", 5}, 100);  // empty
    EXPECT_TRUE(fails());
}

TEST_F(TlsAbuseTest, T5_renegotiation_is_refused_and_does_no_harm) {
    server_options.max_version = Version::tls12;
    establish_rudely();
    SSL_clear_options(rude.get(), SSL_OP_NO_RENEGOTIATION);
    ASSERT_EQ(SSL_renegotiate(rude.get()), 1);
    std::array<std::byte, 64> buffer;
    int reason = SSL_ERROR_WANT_READ;
    ASSERT_TRUE(turn_until(loop, [&] {
        ERR_clear_error();
        reason = SSL_get_error(rude.get(), SSL_do_handshake(rude.get()));
        EXPECT_NE(reason, SSL_ERROR_NONE);
        if (reason == SSL_ERROR_WANT_READ) {
            EXPECT_FALSE(server->stream->recv(buffer).ok());
        }
        return reason != SSL_ERROR_WANT_READ;
    }));
    EXPECT_EQ(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    EXPECT_EQ(server->stream->send(std::as_bytes(std::span("x", 1))).status, IoStatus::ok)
        << "the stream stands";
}

TEST_F(TlsAbuseTest, T16_tickets_allow_no_early_data) {
    establish_rudely();
    std::array<std::byte, 64> buffer;
    ASSERT_EQ(server->stream->send(std::as_bytes(std::span("x", 1))).bytes, 1U);
    ASSERT_TRUE(turn_until(loop, [&] {
        return SSL_read(rude.get(), buffer.data(), static_cast<int>(buffer.size())) == 1;
    }));
    SSL_SESSION* session = SSL_get1_session(rude.get());
    EXPECT_EQ(SSL_SESSION_is_resumable(session), 1);
    EXPECT_EQ(SSL_SESSION_get_max_early_data(session), 0U);
    // One that insists is told that it is refused, and its data goes nowhere.
    SSL_SESSION_set_max_early_data(session, 1000);
    SSL_set_shutdown(rude.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    connect_rudely(session);
    SSL_SESSION_free(session);
    std::size_t written = 0;
    ASSERT_EQ(SSL_write_early_data(rude.get(), "replayed", 8, &written), 1);
    ASSERT_TRUE(turn_until(loop, [this] {
        const int result = SSL_do_handshake(rude.get());
        step(*server);
        return result == 1 && settled(*server);
    }));
    EXPECT_EQ(server->shaken, IoStatus::ok) << server->stream->error_text();
    EXPECT_EQ(SSL_get_early_data_status(rude.get()), SSL_EARLY_DATA_REJECTED);
    ASSERT_EQ(SSL_write(rude.get(), "real", 4), 4);
    IoResult got{IoStatus::want_read};
    ASSERT_TRUE(turn_until(loop, [&] { return (got = server->stream->recv(buffer)).ok(); }));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(buffer.data()), got.bytes), "real");
}

// Cut after every length of a client's hello, and each of its bytes changed.
TEST_F(TlsAbuseTest, T4_cut_and_changed_hellos_fail_or_wait_and_never_succeed) {
    connect();
    std::array<std::byte, 4096> hello;
    IoResult size{IoStatus::want_read};
    ASSERT_TRUE(turn_until(loop, [&] {
        step(*client);
        return (size = server->socket.recv(hello)).ok();
    }));
    const std::string_view text(reinterpret_cast<const char*>(hello.data()), size.bytes);
    for (std::size_t i = 0; i < text.size(); ++i) {
        send_raw(text.substr(0, i), 1);
        client->socket.shutdown_write();
        ASSERT_TRUE(fails()) << "cut after " << i;
        std::string changed(text);
        changed[i] = static_cast<char>(changed[i] ^ 0x55);
        send_raw(changed, 1);
        client->socket.shutdown_write();
        ASSERT_TRUE(fails()) << "changed at " << i;
    }
}

}  // namespace
}  // namespace penstock::net::tls
