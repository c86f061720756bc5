#include "tests/support/tls_echo_server.hpp"

#include <openssl/ssl.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "tests/support/proxy_header.hpp"

namespace penstock::test {

namespace {

void demand(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(std::string("TLS backend of the test: ") + what);
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
                unsigned in_size, void* argument) {
    const auto* known = static_cast<const std::vector<std::string>*>(argument);
    for (const std::string& name : *known)
        for (unsigned at = 0; at < in_size; at += 1U + in[at])
            if (name == std::string(in + at + 1, in + at + 1 + in[at])) {
                *out = in + at + 1;
                *size = in[at];
                return SSL_TLSEXT_ERR_OK;
            }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int accept_any_name(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }

std::shared_ptr<SSL_CTX> make_context(const TlsServerOptions& options) {
    std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    if (options.weak) SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_min_proto_version(context.get(), number_of(options.min_version));
    SSL_CTX_set_max_proto_version(context.get(), number_of(options.max_version));
    demand(SSL_CTX_use_certificate_chain_file(context.get(), options.pair.cert_file.c_str()) == 1,
           "certificate");
    demand(SSL_CTX_use_PrivateKey_file(context.get(), options.pair.key_file.c_str(),
                                       SSL_FILETYPE_PEM) == 1,
           "key");
    SSL_CTX_set_session_id_context(context.get(), reinterpret_cast<const unsigned char*>("test"),
                                   4);
    // Whoever asks with a name gets it: that OpenSSL answers at all needs a callback.
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(accept_any_name));
    if (!options.tickets) {
        SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context.get(), 0);
    }
    if (!options.client_ca.empty()) {
        demand(
            SSL_CTX_load_verify_locations(context.get(), options.client_ca.c_str(), nullptr) == 1,
            "client CA");
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           nullptr);
    }
    return context;
}

TlsVisit seen_on(const TlsStream& stream, std::string proxy_header) {
    return {.established = stream.established(),
            .resumed = stream.resumed(),
            .error = stream.error(),
            .server_name = stream.server_name(),
            .alpn = stream.alpn(),
            .version = stream.version(),
            .client_common_name = stream.peer_common_name(),
            .proxy_header = std::move(proxy_header),
            .said = stream.said(),
            .stalled = stream.stalled()};
}

TlsStream accepting(SSL_CTX* context) {
    SSL* ssl = SSL_new(context);
    demand(ssl != nullptr, "SSL_new");
    SSL_set_accept_state(ssl);
    return TlsStream(ssl);
}

void end_cleanly(TlsStream& stream) {
    stream.notify();
    stream.socket().finish();
}

}  // namespace

namespace tls_scripts {

TlsScript echo() {
    return [](TlsStream& stream, const ChaosBackend& backend) {
        while (!backend.stopping() && stream.end() == TlsEnd::open) {
            const std::string text = stream.receive_some(50ms);
            if (!text.empty() && !stream.send(text)) return;
        }
        if (stream.end() == TlsEnd::notified) end_cleanly(stream);
    };
}

TlsScript sink() {
    return [](TlsStream& stream, const ChaosBackend& backend) {
        while (!backend.stopping() && stream.end() == TlsEnd::open) stream.receive_some(50ms);
        if (stream.end() == TlsEnd::notified) end_cleanly(stream);
    };
}

TlsScript truncate(std::string text) {
    return [text = std::move(text)](TlsStream& stream, const ChaosBackend& backend) {
        stream.send(text);
        stream.socket().finish();
        backend.wait_end(stream.socket());
    };
}

TlsScript leave(std::string text, bool echoes) {
    return [text = std::move(text), echoes](TlsStream& stream, const ChaosBackend& backend) {
        while (!backend.stopping() && stream.end() == TlsEnd::open) {
            const std::string heard = stream.receive_some(50ms);
            if (echoes && !heard.empty()) stream.send(heard);
        }
        stream.send(text);
        stream.socket().finish();
        backend.wait_end(stream.socket());
    };
}

TlsScript say(std::string text) {
    return [text = std::move(text)](TlsStream& stream, const ChaosBackend& backend) {
        stream.send(text);
        end_cleanly(stream);
        while (!backend.stopping() && stream.end() == TlsEnd::open) stream.receive_some(50ms);
    };
}

TlsScript reset(std::string text) {
    return [text = std::move(text)](TlsStream& stream, const ChaosBackend&) {
        stream.send(text);
        stream.socket().reset();
    };
}

}  // namespace tls_scripts

TlsStream tls_server_side(const TlsServerOptions& options) {
    return accepting(make_context(options).get());
}

TlsEchoServer::TlsEchoServer(TlsServerOptions options, const std::string& address)
    : options_(std::move(options)), context_(make_context(options_)) {
    if (!options_.alpn.empty())
        SSL_CTX_set_alpn_select_cb(context_.get(), choose_alpn, &options_.alpn);
    backend_ = std::make_unique<ChaosBackend>(
        [this](Socket& socket, const ChaosBackend& backend) { serve(socket, backend); }, address);
}

TlsEchoServer::~TlsEchoServer() = default;

bool TlsEchoServer::greet(Socket& socket, TlsVisit& visit) const {
    if (options_.proxy_header) {
        const auto header = read_proxy_header(socket);
        if (!header) return false;
        visit.proxy_header = header->raw;
    }
    if (options_.postgres) {
        if (socket.receive_text(8) != std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8)) return false;
        if (!socket.send(std::string(1, options_.postgres_answer))) return false;
        if (options_.postgres_answer != 'S') return false;
    }
    return options_.garbage.empty() || socket.send(options_.garbage);
}

void TlsEchoServer::note(std::size_t index, const TlsVisit& visit) {
    const std::scoped_lock lock(mutex_);
    visits_[index] = visit;
}

void TlsEchoServer::serve(Socket& socket, const ChaosBackend& backend) {
    std::size_t index = 0;
    {
        const std::scoped_lock lock(mutex_);
        index = visits_.size();
        visits_.emplace_back();
    }
    TlsVisit visit;
    if (!greet(socket, visit)) {
        visit.error = "it did not begin as it should";
        visit.over = true;
        note(index, visit);
        socket.wait_end(500ms);
        return;
    }
    TlsStream stream = accepting(context_.get());
    stream.attach(std::move(socket));
    if (options_.stalls_after)
        stream.stall_after(*options_.stalls_after + options_.stalls_later * index);
    const auto gives_up = [&] { return stream.stalled() && options_.gives_up != End::open; };
    while (!stream.handshake(200ms) && stream.end() == TlsEnd::open && !gives_up() &&
           !backend.stopping()) {
    }
    visit = seen_on(stream, visit.proxy_header);
    note(index, visit);
    if (gives_up()) {
        options_.gives_up == End::reset ? stream.socket().reset() : stream.socket().finish();
        if (options_.gives_up == End::fin) backend.wait_end(stream.socket());
    } else if (visit.established) {
        if (!visit.stalled) stream.go_on();
        options_.script(stream, backend);
    }
    visit.received = stream.heard();
    visit.end = stream.end();
    visit.over = true;
    note(index, visit);
}

std::vector<TlsVisit> TlsEchoServer::visits() const {
    const std::scoped_lock lock(mutex_);
    return visits_;
}

std::size_t TlsEchoServer::established() const {
    return static_cast<std::size_t>(std::ranges::count_if(visits(), &TlsVisit::established));
}

std::vector<TlsVisit> TlsEchoServer::wait_over(std::size_t count) const {
    wait_for([&] {
        return static_cast<std::size_t>(std::ranges::count_if(visits(), &TlsVisit::over)) >= count;
    });
    return visits();
}

}  // namespace penstock::test
