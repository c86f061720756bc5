// A session's two ends where TLS is involved: what moves between them, and how they end.
#include <utility>

#include "proxy/mover.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

net::tls::Stream* Session::secured(Side side) noexcept {
    if (!secured_) return nullptr;
    return (side == Side::client ? extras_->front->client : extras_->front->backend).get();
}

template <typename F>
auto Session::with_streams(Side from, F function) noexcept {
    net::tls::Stream* const reading = secured(from);
    net::tls::Stream* const writing = secured(opposite(from));
    if (reading != nullptr && writing != nullptr) return function(*reading, *writing);
    if (reading != nullptr) return function(*reading, socket(opposite(from)));
    if (writing != nullptr) return function(socket(from), *writing);
    return function(socket(from), socket(opposite(from)));
}

Session::Moved Session::move_secured(Side from, std::size_t allowance) noexcept {
    return with_streams(from, [&](auto& reading, auto& writing) {
        Mover mover(worker_.loop(), flow(from), reading, writing, allowance);
        const Step step = mover.run();
        return Moved{step, mover.moved()};
    });
}

std::size_t Session::deliver_rest(Side from) noexcept {
    return with_streams(from, [&](auto& reading, auto& writing) {
        Mover mover(worker_.loop(), flow(from), reading, writing);
        mover.deliver();
        return mover.moved();
    });
}

// True: the end is on its way, or nobody is there to see it: that side's own pump finds out. False:
// the receiver of a close_notify has to take something first.
bool Session::pass_end_on(Side from) noexcept {
    const Side to = opposite(from);
    if (net::tls::Stream* stream = secured(to))
        return stream->shutdown_write().status != net::IoStatus::want_write;
    // Closing both tells the second one.
    if (!flow(to).delivered_end) socket(to).shutdown_write();
    return true;
}

// Why TLS failed while it relayed, for the log.
void Session::note_tls_problem(Side side) noexcept {
    const net::tls::Stream* stream = secured(side);
    if (stream == nullptr || socket(side).failed()) return;
    try {
        front().facts->problem = stream->truncated() ? "the end came without close_notify"
                                                     : std::string(stream->error_text());
    } catch (const std::bad_alloc&) {  // the reason alone has to do
    }
}

// Many servers answer the end of a client with a bare FIN. If nothing came behind that end, and
// what was asked before had some answer, nobody has a reason to complain of the server.
bool Session::ends_without_a_word(Side side) noexcept {
    const net::tls::Stream* stream = secured(side);
    return stream != nullptr && stream->truncated() && !socket(side).failed() &&
           flow(opposite(side)).delivered_end && flow(side).empty() && !flow(side).write_failed &&
           flow(side).bytes == front().bytes_at_end &&
           (flow(side).bytes != 0 || flow(opposite(side)).bytes == 0);
}

// With what is to be said at the end, as far as it can be said without waiting.
void Session::finish_sending(Side side) noexcept {
    if (net::tls::Stream* stream = secured(side)) static_cast<void>(stream->shutdown_write());
    socket(side).finish();
}

void Session::secure_client(std::unique_ptr<net::tls::Stream> stream) {
    front().client = std::move(stream);
    secured_ = true;
}

void Session::secure_backend(std::unique_ptr<net::tls::Stream> stream,
                             std::shared_ptr<const net::tls::ClientContext> context) {
    front().backend = std::move(stream);
    front().client_context = std::move(context);
    secured_ = true;
}

// TLS 1.3 sends what makes the next handshake shorter after the handshake.
void Session::keep_backend_session() noexcept {
    if (net::tls::Stream* stream = secured(Side::backend))
        upstream().keep_session(*backend_, *stream);
}

}  // namespace penstock::proxy
