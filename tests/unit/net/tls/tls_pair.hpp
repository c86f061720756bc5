#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <fcntl.h>

#include "net/tls/stream.hpp"
#include "tests/unit/net/socket_pair.hpp"
#include "tests/unit/net/tls/test_certificates.hpp"

namespace penstock::net::tls {

/// A server's and a client's end over real TCP, both in one loop.
class TlsTest : public testing::Test {
protected:
    struct End {
        explicit End(HangupHandler& handler) : socket(handler) {}
        Socket socket;
        std::unique_ptr<Stream> stream{};
        IoStatus shaken = IoStatus::want_read;
    };

    EventLoop loop{1 << 20};
    IgnoreHangups handler;
    std::unique_ptr<End> server;
    std::unique_ptr<End> client;
    ServerOptions server_options{.name = "front",
                                 .certificates = {certificate_for("a.test").pair()}};
    ClientOptions client_options{.ca_file = "/t/ca.pem", .ca_pem = test_authority().cert_pem};
    std::shared_ptr<TicketKeys> tickets = std::make_shared<TicketKeys>();
    std::shared_ptr<const ServerContext> server_context;
    std::shared_ptr<const ClientContext> client_context;

    void make_contexts() {
        auto made_server = ServerContext::make(server_options, tickets);
        ASSERT_TRUE(made_server) << made_server.error();
        auto made_client = ClientContext::make(client_options);
        ASSERT_TRUE(made_client) << made_client.error();
        server_context = *made_server;
        client_context = *made_client;
    }

    static void set_blocking(const UniqueFd& fd, bool blocking) {
        const int flags = ::fcntl(fd.get(), F_GETFL);
        ::fcntl(fd.get(), F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
    }

    void adopt(End& end, UniqueFd fd) {
        end.socket.adopt(std::move(fd), SocketKind::tcp);
        ASSERT_FALSE(loop.poller().add(end.socket, Poller::stream_events));
    }

    /// Fresh sockets and streams of the contexts that stand.
    void connect(const std::string& name = "a.test", ClientSession* resume = nullptr) {
        if (!server_context) make_contexts();
        auto [own, peer] = tcp_pair();
        set_blocking(peer, false);
        server = std::make_unique<End>(handler);
        client = std::make_unique<End>(handler);
        adopt(*server, std::move(own));
        adopt(*client, std::move(peer));
        server->stream = std::make_unique<Stream>(*server_context, server->socket);
        client->stream = std::make_unique<Stream>(*client_context, client->socket, name, resume);
    }

    static bool settled(const End& end) {
        return end.shaken == IoStatus::ok || end.shaken == IoStatus::error;
    }
    static void step(End& end) {
        if (!settled(end)) end.shaken = end.stream->handshake();
    }

    /// Both sides have finished, or failed.
    bool shake() {
        return turn_until(loop, [this] {
            step(*client);
            step(*server);
            // Who failed is not heard of by a peer that waits for it.
            if (server->shaken == IoStatus::error && !settled(*client)) server->socket.close();
            if (client->shaken == IoStatus::error && !settled(*server)) client->socket.finish();
            return settled(*client) && settled(*server);
        });
    }

    void establish(const std::string& name = "a.test", ClientSession* resume = nullptr) {
        connect(name, resume);
        ASSERT_TRUE(shake());
        ASSERT_EQ(client->shaken, IoStatus::ok) << client->stream->error_text();
        ASSERT_EQ(server->shaken, IoStatus::ok) << server->stream->error_text();
    }

    /// All of `text` goes from one end to the other.
    std::string pass(End& from, End& to, std::string_view text) {
        std::string got;
        std::size_t sent = 0;
        std::array<std::byte, 65536> buffer;
        turn_until(loop, [&] {
            if (sent < text.size()) {
                const auto result = from.stream->send(std::as_bytes(std::span(text.substr(sent))));
                if (result.status == IoStatus::error) return true;
                sent += result.bytes;
            }
            IoResult result = to.stream->recv(buffer);
            for (; result.ok(); result = to.stream->recv(buffer))
                got.append(reinterpret_cast<const char*>(buffer.data()), result.bytes);
            return got.size() >= text.size() || result.status == IoStatus::error ||
                   result.status == IoStatus::eof;
        });
        return got;
    }

    /// Reads until something else than data or want_* comes.
    IoStatus end_of(End& end) {
        IoStatus status = IoStatus::ok;
        std::array<std::byte, 4096> buffer;
        turn_until(loop, [&] {
            status = end.stream->recv(buffer).status;
            return status == IoStatus::eof || status == IoStatus::error;
        });
        return status;
    }

    /// After a round trip the client holds a session that it may resume.
    ClientSession session_after_round_trip() {
        EXPECT_EQ(pass(*client, *server, "ping"), "ping");
        EXPECT_EQ(pass(*server, *client, "pong"), "pong");
        return client->stream->take_session();
    }
};

}  // namespace penstock::net::tls
