#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "net/tls/stream.hpp"
#include "tests/unit/net/socket_pair.hpp"
#include "tests/unit/net/tls/test_certificates.hpp"

namespace penstock::proxy {

using namespace std::string_literals;

inline std::shared_ptr<const net::tls::ServerContext> server_context() {
    static const net::tls::TestCertificate certificate = net::tls::certificate_for("a.test");
    return net::tls::ServerContext::make({.name = "web", .certificates = {certificate.pair()}},
                                         std::make_shared<net::tls::TicketKeys>())
        .value();
}

/// Trusts whatever server it comes to, or that of server_context() only.
inline std::shared_ptr<const net::tls::ClientContext> client_context(bool verify = true) {
    return net::tls::ClientContext::make({.ca_file = "/t/ca.pem",
                                          .ca_pem = net::tls::test_authority().cert_pem,
                                          .verify = verify})
        .value();
}

/// A client that speaks TLS, or a backend, in a loop of its own.
class TlsPeer {
public:
    explicit TlsPeer(net::UniqueFd fd) {
        adopt(std::move(fd));
        stream_ = std::make_unique<net::tls::Stream>(*client_, socket_, "a.test", nullptr);
    }
    TlsPeer(net::UniqueFd fd, std::shared_ptr<const net::tls::ServerContext> context)
        : server_(std::move(context)) {
        adopt(std::move(fd));
        stream_ = std::make_unique<net::tls::Stream>(*server_, socket_);
    }
    /// Its first flight, and no more.
    bool say_hello() {
        return net::turn_until(loop_,
                               [&] { return stream_->handshake() == net::IoStatus::want_read; });
    }
    bool shake() {
        net::IoStatus status{};
        const bool ended = net::turn_until(loop_, [&] {
            status = stream_->handshake();
            return status == net::IoStatus::ok || status == net::IoStatus::error;
        });
        return ended && status == net::IoStatus::ok;
    }
    /// An event at the proxy that OpenSSL there takes no notice of: a ChangeCipherSpec is dropped
    /// (RFC 8446, 5).
    void nudge() {
        const auto text = "\x14\x03\x03\0\1\1"s;
        EXPECT_EQ(socket_.send(std::as_bytes(std::span(text))).bytes, text.size());
    }
    bool say(std::string_view text) {
        return stream_->send(std::as_bytes(std::span(text))).bytes == text.size();
    }
    /// Comes out in time.
    bool hears(std::string_view text) {
        std::array<std::byte, 256> buffer;
        std::string got;
        net::turn_until(loop_, [&] {
            const auto result = stream_->recv(buffer);
            got.append(reinterpret_cast<const char*>(buffer.data()), result.bytes);
            return got.size() >= text.size() || result.status == net::IoStatus::eof ||
                   result.status == net::IoStatus::error;
        });
        return got == text;
    }
    /// The other side has gone.
    bool is_left() {
        std::array<std::byte, 256> buffer;
        return net::turn_until(loop_, [&] {
            const auto status = stream_->recv(buffer).status;
            return status == net::IoStatus::eof || status == net::IoStatus::error;
        });
    }
    [[nodiscard]] int fd() const { return socket_.fd(); }
    void leave() { socket_.reset(); }

private:
    void adopt(net::UniqueFd fd) {
        ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
        socket_.adopt(std::move(fd), net::SocketKind::tcp);
        net::require(!loop_.poller().add(socket_, net::Poller::stream_events), "epoll_ctl");
    }

    net::EventLoop loop_{1 << 20};
    net::IgnoreHangups handler_;
    net::Socket socket_{handler_};
    std::shared_ptr<const net::tls::ClientContext> client_ = client_context();
    std::shared_ptr<const net::tls::ServerContext> server_;
    std::unique_ptr<net::tls::Stream> stream_;
};

}  // namespace penstock::proxy
