// A session while its client is received: who it is, where it goes.
#include <string>
#include <utility>

#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

Front& Session::front() {
    if (!extras().front) extras().front = std::make_unique<Front>();
    return *extras_->front;
}

ConnectionId Session::id() const noexcept { return {worker_.process_id(), sequence_}; }

CompactEndpoint Session::local() const noexcept {
    return local_.empty() ? net::local_endpoint(client_socket_.fd()) : local_;
}

bool Session::accept_header(net::proxy_protocol::Header header) {
    if (header_ == HeaderRule::ignore) return true;
    front().tlvs = std::move(header.tlvs);
    if (!header.local && !header.source.empty()) {
        if (header.source != peer_) front().facts->peer = peer_;
        peer_ = header.source;
        if (!header.destination.empty()) local_ = header.destination;
    }
    // What the sender says for itself (LOCAL) is no client's: its lists are about clients.
    const AccessPolicy* access = header.local ? nullptr : listener_->access.get();
    auto admission = listener_->shared->gate.admit_source({peer_, access, now()});
    admission.would_refuse.for_each([&](CloseReason reason) {
        listener_->cells.would_refuse(reason).add();
        extras().would_refuse.add(reason);
        worker_.note_limit(*listener_, GateLog::Event::would_refuse, reason, peer_);
    });
    source_ = admission.source.keep();
    if (admission.refused == CloseReason::none) return true;
    worker_.note_limit(*listener_, GateLog::Event::refuses, admission.refused, peer_);
    abort(admission.refused);
    return false;
}

bool Session::choose_upstream() {
    Arrival arrival{.client = peer_};
    if (const Front* known = front_if()) {
        arrival.server_name = known->facts->server_name;
        arrival.alpn = known->offered_alpn;
        arrival.starttls = known->starttls;
        arrival.not_tls = known->not_tls;
        arrival.plain_start = known->plain_start;
    }
    const Choice choice = listener_->router.choose(arrival);
    upstream_ = choice.upstream;
    role_ = choice.role;
    terminates_ = choice.terminates;
    if (terminates_ && !listener_->tls) {  // never in clear what was to be protected
        abort(CloseReason::internal);
        return false;
    }
    if (choice.number != 0 || !choice.name.empty())
        front().facts->route =
            choice.number != 0 ? std::to_string(choice.number) : std::string(choice.name);
    if (!upstream_) abort(CloseReason::no_route);
    worker_.look_after_left(listener_->account());
    return upstream_ != nullptr;
}

void Session::client_left() noexcept {
    close(CloseReason::client_gone, ClosedBy::client, client_socket_.error().value());
}

}  // namespace penstock::proxy
