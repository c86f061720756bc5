#include "proxy/front/introduction.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "net/postgres_start.hpp"
#include "net/proxy_protocol/writer.hpp"
#include "net/tls/stream.hpp"
#include "proxy/attempt.hpp"
#include "proxy/front/front.hpp"
#include "proxy/front/handshake.hpp"
#include "proxy/inspect/session_info.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

using net::IoStatus;
namespace pp = net::proxy_protocol;

auto wait_for(Session& session, net::Latch& latch, TimePoint deadline) {
    session.wake_at(deadline);
    return latch.wait(net::WaitRole::writer);
}

bool asks_for_tls(Session& session) noexcept {
    const Front* front = session.front_if();
    return front != nullptr && front->starttls != config::StartTls::none;
}

pp::SslTlv ssl_tlv(const Front& front) {
    const ClientFacts& facts = *front.facts;
    const bool cert = !facts.client_cert.empty();
    return {.client_cert = cert && !facts.tls_resumed,
            .resumed_cert = cert,
            .version = std::string(facts.tls_version),
            .cipher = std::string(facts.tls_cipher),
            .common_name = cert ? front.client->peer_common_name() : std::string()};
}

// Those that this proxy says itself are not passed on.
std::vector<pp::Tlv> tlvs_of(Session& session, const config::ProxyTlvs& wanted) {
    std::vector<pp::Tlv> tlvs;
    const auto add = [&](bool is_wanted, std::uint8_t type, std::string value) {
        if (is_wanted && !value.empty()) tlvs.push_back({type, std::move(value)});
    };
    const Front* front = session.front_if();
    if (front != nullptr) {
        // What is only offered is not in use yet.
        if (front->client) add(wanted.alpn, pp::tlv_alpn, std::string(front->client->alpn()));
        add(wanted.authority, pp::tlv_authority, front->facts->server_name);
        if (wanted.ssl && front->client) tlvs.push_back({pp::tlv_ssl, pp::encode(ssl_tlv(*front))});
    }
    add(wanted.unique_id, pp::tlv_unique_id, to_string(session.id()));
    if (front == nullptr || !wanted.passthrough) return tlvs;
    const std::size_t own = tlvs.size();
    for (const pp::Tlv& tlv : front->tlvs) {
        bool said = false;
        for (std::size_t i = 0; i < own; ++i) said = said || tlvs[i].type == tlv.type;
        if (!said) tlvs.push_back(tlv);
    }
    return tlvs;
}

std::string proxy_header(Session& session) {
    const auto& settings = session.upstream().settings();
    const bool v1 = settings.send_proxy_protocol == config::SendProxyProtocol::v1;
    pp::Header header{.source = session.peer(), .destination = session.local()};
    if (v1) return pp::write(pp::Version::v1, header, false);
    header.tlvs = tlvs_of(session, settings.send_proxy_protocol_tlvs);
    return pp::write(pp::Version::v2, header, settings.send_proxy_protocol_tlvs.crc32c);
}

net::Task<AttemptResult> send_all(Session& session, std::string bytes, TimePoint deadline) {
    net::Socket& socket = session.backend_socket();
    auto left = std::as_bytes(std::span(bytes));
    for (;;) {
        const auto sent = socket.send(left);
        if (sent.status == IoStatus::error) co_return attempt_result(socket.error().value());
        left = left.subspan(sent.bytes);
        if (left.empty()) co_return AttemptResult{};
        if (session.now() >= deadline) co_return attempt_result(ETIMEDOUT);
        co_await wait_for(session, socket.writable, deadline);
        if (!session.is_connecting()) co_return attempt_result(ECANCELED);
    }
}

// The server's answer to a request for TLS. It says nothing more before it was asked to.
net::Task<AttemptResult> expect_tls(Session& session, TimePoint deadline) {
    net::Socket& socket = session.backend_socket();
    for (;;) {
        std::array<std::byte, 1> letter;
        const auto got = socket.recv(letter);
        if (got.status == IoStatus::error) co_return attempt_result(socket.error().value());
        if (got.ok() && letter[0] == std::byte{'S'}) co_return AttemptResult{};
        if (got.ok() || got.status == IoStatus::eof) {
            session.front().facts->problem = "the backend does not offer TLS";
            co_return AttemptResult{AttemptError::tls, EPROTO};
        }
        if (session.now() >= deadline) co_return attempt_result(ETIMEDOUT);
        co_await wait_for(session, socket.readable, deadline);
        if (!session.is_connecting()) co_return attempt_result(ECANCELED);
    }
}

struct WithBackend {
    static constexpr auto role = net::WaitRole::writer;
    static constexpr bool looks_once_more = true;
    Session& session;

    [[nodiscard]] bool lives() const noexcept { return session.is_connecting(); }
    [[nodiscard]] TimePoint now() const noexcept { return session.now(); }
    void wake_at(TimePoint deadline) const noexcept { session.wake_at(deadline); }
    [[nodiscard]] auto turn() const noexcept {
        return session.worker().loop().background().yield();
    }
};

AttemptResult failed_handshake(const net::tls::Stream& stream, const net::Socket& socket) noexcept {
    if (!stream.error_text().empty()) return {AttemptError::tls, EPROTO};
    return attempt_result(socket.failed() ? socket.error().value() : ECONNRESET);
}

// A change of the configuration meanwhile changes nothing for this attempt.
net::Task<AttemptResult> secure(Session& session,
                                std::shared_ptr<const net::tls::ClientContext> context,
                                std::string verify_name, TimePoint deadline) {
    net::Socket& socket = session.backend_socket();
    auto stream = session.upstream().secure(*context, verify_name, *session.backend(), socket);
    auto waiting = wait_for_handshake(*stream, socket, deadline, WithBackend{session});
    switch (co_await waiting) {
        case Handshaken::done:
            session.secure_backend(std::move(stream), std::move(context));
            co_return AttemptResult{};
        case Handshaken::failed:
            session.front().facts->problem = stream->error_text();
            co_return failed_handshake(*stream, socket);
        case Handshaken::late: co_return attempt_result(ETIMEDOUT);
        case Handshaken::late_here: co_return AttemptResult{AttemptError::timeout, ETIMEDOUT, true};
        case Handshaken::left:
        case Handshaken::gone: break;
    }
    co_return attempt_result(ECANCELED);
}

}  // namespace

bool needs_introduction(Session& session) noexcept {
    const UpstreamContext& upstream = session.upstream();
    return upstream.tls || asks_for_tls(session) ||
           upstream.settings().send_proxy_protocol != config::SendProxyProtocol::off;
}

net::Task<AttemptResult> introduce(Session& session, TimePoint deadline) {
    const Front* front = session.front_if();
    if (front != nullptr && front->backend) co_return AttemptResult{};  // the pool has done it
    auto context = session.upstream().tls;
    const bool tls_here = context != nullptr;
    std::string verify_name;
    if (tls_here) verify_name = session.upstream().verify_name(*session.backend());
    if (session.upstream().settings().send_proxy_protocol != config::SendProxyProtocol::off) {
        auto sending = send_all(session, proxy_header(session), deadline);
        const AttemptResult result = co_await sending;
        if (!result.ok() || !session.is_connecting()) co_return result;
    }
    // A client whose TLS ends here and whose backend is plain has asked this proxy, not the
    // backend.
    if (asks_for_tls(session) && (tls_here || !front->client)) {
        auto sending = send_all(session, std::string(net::postgres_ssl_request), deadline);
        AttemptResult result = co_await sending;
        if (!result.ok() || !session.is_connecting()) co_return result;
        auto waiting = expect_tls(session, deadline);
        result = co_await waiting;
        if (!result.ok() || !session.is_connecting()) co_return result;
    }
    if (!tls_here) co_return AttemptResult{};
    auto securing = secure(session, std::move(context), std::move(verify_name), deadline);
    co_return co_await securing;
}

}  // namespace penstock::proxy
