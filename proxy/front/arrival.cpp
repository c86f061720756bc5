#include "proxy/front/arrival.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <ranges>
#include <string>
#include <utility>

#include "config/bounds.hpp"
#include "net/client_hello.hpp"
#include "net/postgres_start.hpp"
#include "net/proxy_protocol/reader.hpp"
#include "proxy/front/front.hpp"
#include "proxy/front/handshake.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

using net::IoStatus;

constexpr std::size_t longest_start = 64;    // of PostgreSQL's packets only the head matters
constexpr std::size_t record_overhead = 64;  // beyond client_hello_max
static_assert(config::largest_client_hello <= net::EventLoop::scratch_size);
constexpr std::byte tls_handshake_record{22};
constexpr const char* left_early = "the peer ended the connection during the handshake";
constexpr const char* ended_early = "the connection ended before it was complete";

// Suspends until the client has sent more, or could take more; until the deadline, or an abort.
auto wait_for(Session& session, net::Latch& latch, TimePoint deadline) {
    session.wake_at(deadline);
    return latch.wait(net::WaitRole::reader);
}

// What the client has sent so far, left in the kernel's queue for whoever reads it in the end.
class Peek {
public:
    /// Looks at no more than `most` bytes.
    Peek(Session& session, std::size_t most) noexcept
        : session_(session),
          socket_(session.client_socket()),
          most_(std::min(most, session.worker().loop().scratch().size())) {}

    enum class News : std::uint8_t { more, nothing, ended, gone };
    News look() noexcept {
        const auto scratch = session_.worker().loop().scratch().first(most_);
        const auto got = socket_.peek(scratch);
        if (got.status == IoStatus::error) return News::gone;
        const std::size_t before = std::exchange(size_, got.ok() ? got.bytes : 0);
        bytes_ = scratch.first(size_);
        fresh_ = bytes_.subspan(std::min(before, size_));
        if (!fresh_.empty()) return News::more;
        // A FIN shows only by its flag while there is something to read; so does a reset.
        if (got.status != IoStatus::eof && !hung_up()) return News::nothing;
        return size_ == 0 || was_reset() ? News::gone : News::ended;
    }
    /// The next look tells of the end: there will be no event for it.
    [[nodiscard]] bool hung_up() const noexcept {
        return (socket_.seen() & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    }
    [[nodiscard]] bool full() const noexcept { return size_ == most_; }
    /// All of it, and what is new since the call before. Until the next suspension.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::span<const std::byte> fresh() const noexcept { return fresh_; }

    /// Takes it out of the queue.
    [[nodiscard]] bool consume(std::size_t size) noexcept {
        size_ -= size;
        while (size > 0) {
            const auto taken = socket_.discard(size);
            if (!taken.ok()) return false;
            size -= taken.bytes;
        }
        return true;
    }
    /// The next event counts, whatever is in the queue.
    void forget_readiness() noexcept { socket_.readable.clear(); }

private:
    [[nodiscard]] bool was_reset() const noexcept {
        return (socket_.seen() & (EPOLLHUP | EPOLLERR)) != 0 && socket_.check_error();
    }

    Session& session_;
    net::Socket& socket_;
    std::size_t most_;
    std::size_t size_ = 0;
    std::span<const std::byte> bytes_;
    std::span<const std::byte> fresh_;
};

bool refuse(Session& session, CloseReason reason, std::string_view problem) {
    session.front().facts->problem = problem;
    session.abort(reason);
    return false;
}

// Nobody is there any more, or never said a word.
bool client_gone(Session& session) {
    session.client_left();
    return false;
}

// --- the PROXY header -------------------------------------------------------------------------

bool take_header(Session& session, Peek& peek, net::proxy_protocol::Reading& reading) {
    if (!peek.consume(reading.length)) return client_gone(session);
    return session.accept_header(std::move(reading.header));
}

net::Task<bool> read_header(Session& session) {
    using net::proxy_protocol::Reading;
    const auto& settings = session.listener().settings();
    const TimePoint deadline =
        deadline_after(session.accepted_at(), settings.timeouts.proxy_header);
    const net::proxy_protocol::Accepts accepts{
        .v1 = settings.proxy_protocol != config::ProxyProtocol::v2,
        .v2 = settings.proxy_protocol != config::ProxyProtocol::v1};
    Peek peek(session, net::proxy_protocol::longest_v2);
    for (;;) {
        const auto news = peek.look();
        if (news == Peek::News::gone) co_return client_gone(session);
        if (news == Peek::News::ended)
            co_return refuse(session, CloseReason::proxy_header_invalid, ended_early);
        if (news == Peek::News::more) {
            Reading reading = net::proxy_protocol::read(peek.bytes(), accepts);
            if (reading.status == Reading::Status::complete)
                co_return take_header(session, peek, reading);
            if (reading.status == Reading::Status::invalid)
                co_return refuse(session, CloseReason::proxy_header_invalid, reading.problem);
        }
        if (session.now() >= deadline)
            co_return refuse(session, CloseReason::proxy_header_timeout, {});
        if (news == Peek::News::more && peek.hung_up()) continue;
        peek.forget_readiness();
        co_await wait_for(session, session.client_socket().readable, deadline);
        if (!session.is_arriving()) co_return false;
    }
}

// --- the words before TLS ---------------------------------------------------------------------

enum class Start : std::uint8_t { tls, plain, refused };

bool answer(Session& session, char letter) noexcept {
    const std::array<std::byte, 1> bytes{static_cast<std::byte>(letter)};
    return session.client_socket().send(bytes).ok();
}

// PostgreSQL clients ask whether they may speak TLS. Bytes that came with the question were not
// encrypted, and somebody else may have put them there (CVE-2021-23222).
net::Task<Start> read_postgres(Session& session, TimePoint deadline) {
    using net::PostgresStart;
    Peek peek(session, longest_start);
    for (unsigned requests = 0;;) {
        const auto news = peek.look();
        if (news == Peek::News::gone) {
            client_gone(session);
            co_return Start::refused;
        }
        const auto start = net::read_postgres_start(peek.bytes());
        if (start == PostgresStart::direct_tls) co_return Start::tls;
        if (start == PostgresStart::cancel || start == PostgresStart::startup)
            co_return Start::plain;
        const bool asks =
            start == PostgresStart::ssl_request || start == PostgresStart::gss_request;
        if (asks && peek.bytes().size() == net::postgres_request_size && requests < 2) {
            ++requests;
            const bool ssl = start == PostgresStart::ssl_request;
            if (!peek.consume(net::postgres_request_size) || !answer(session, ssl ? 'S' : 'N')) {
                client_gone(session);
                co_return Start::refused;
            }
            if (!ssl) continue;
            session.front().starttls = config::StartTls::postgres;
            co_return Start::tls;
        }
        // Where a route alone speaks it the listener serves others as well.
        const bool only_routes = session.listener().settings().starttls == config::StartTls::none;
        if (!asks && only_routes && requests == 0 &&
            (start == PostgresStart::invalid || news == Peek::News::ended))
            co_return Start::tls;
        if (asks || start == PostgresStart::invalid || news == Peek::News::ended) {
            refuse(session, CloseReason::client_hello_invalid,
                   asks ? "bytes follow the request for TLS before it was answered"
                   : news == Peek::News::ended ? ended_early
                                               : "neither PostgreSQL nor TLS");
            co_return Start::refused;
        }
        if (session.now() >= deadline) {
            refuse(session, CloseReason::client_hello_timeout, {});
            co_return Start::refused;
        }
        if (news == Peek::News::more && peek.hung_up()) continue;
        peek.forget_readiness();
        co_await wait_for(session, session.client_socket().readable, deadline);
        if (!session.is_arriving()) co_return Start::refused;
    }
}

// --- the ClientHello --------------------------------------------------------------------------

void take_hello(Session& session, const net::ClientHello& hello) {
    Front& front = session.front();
    front.facts->server_name = hello.server_name;
    front.offered_alpn = hello.alpn;
}

// Where no route goes by a hello its name is wanted and no more: others are clients as well, those
// who wait for the backend's first word, and those who speak something else.
bool without_hello(Session& session, CloseReason reason, std::string_view problem) {
    if (session.listener().shared->table.needs_hello()) return refuse(session, reason, problem);
    session.client_socket().readable.set(session.worker().loop().ready());  // though seen
    return true;
}

// True: go on, whatever it was; what does not look like TLS has no name.
net::Task<bool> read_hello(Session& session, TimePoint deadline) {
    using Status = net::ClientHelloReader::Status;
    net::ClientHelloReader reader(session.listener().settings().client_hello_max);
    Peek peek(session, session.listener().settings().client_hello_max + record_overhead);
    for (;;) {
        const auto news = peek.look();
        if (news == Peek::News::gone) co_return client_gone(session);
        const Status status =
            news == Peek::News::more ? reader.feed(peek.fresh()) : reader.status();
        if (status == Status::complete) take_hello(session, reader.hello());
        if (status == Status::not_tls) session.front().not_tls = true;
        if (status == Status::complete || status == Status::not_tls) co_return true;
        if (status == Status::invalid)
            co_return without_hello(session, CloseReason::client_hello_invalid, reader.problem());
        if (status == Status::too_large || peek.full())
            co_return without_hello(session, CloseReason::client_hello_invalid,
                                    "longer than client_hello_max");
        if (news == Peek::News::ended)
            co_return without_hello(session, CloseReason::client_hello_invalid, ended_early);
        if (session.now() >= deadline)
            co_return without_hello(session, CloseReason::client_hello_timeout, {});
        if (news == Peek::News::more && peek.hung_up()) continue;
        peek.forget_readiness();
        co_await wait_for(session, session.client_socket().readable, deadline);
        if (!session.is_arriving()) co_return false;
    }
}

// --- the handshake ----------------------------------------------------------------------------

// A place among the listener's `max_handshakes`; nothing if none came in time.
net::Task<balancer::Permit> take_turn(Session& session, TimePoint deadline) {
    ListenerAccount& account = session.listener().account();
    const unsigned worker = session.worker().index();
    net::Latch& wake_up = session.client_socket().writable;
    balancer::Permit permit = account.handshakes.try_acquire();
    HandshakeWaiter waiter(wake_up);
    if (!permit) account.handshake_rooms[worker].add(waiter);
    while (!permit && session.is_arriving() && session.now() < deadline) {
        // Any event of the socket wakes it: its place stays. A call takes it out.
        if (!waiter.is_linked()) account.handshake_rooms[worker].add_first(waiter);
        account.waiting_to_shake.mark(worker);
        permit = account.handshakes.try_acquire();  // freed between the refusal and the mark
        if (permit) break;
        wake_up.clear();
        co_await wait_for(session, wake_up, deadline);
        permit = account.handshakes.try_acquire();
    }
    wake_up.set(session.worker().loop().ready());  // nothing was sent yet
    if (waiter.is_linked()) waiter.unlink();
    if (!permit || !session.is_arriving()) permit.release();
    // A call that came to one who has no use for it is the next one's; and of several that were
    // due at once only the first may have found the mark.
    if (!account.handshakes.full()) session.worker().call_handshake(account);
    co_return std::move(permit);
}

CloseReason reason_of(net::tls::Failure failure) noexcept {
    switch (failure) {
        case net::tls::Failure::client_cert: return CloseReason::tls_client_cert;
        case net::tls::Failure::unknown_name: return CloseReason::tls_unknown_name;
        case net::tls::Failure::none:
        case net::tls::Failure::failed: break;
    }
    return CloseReason::tls_failed;
}

// Where the hello was looked at before, its name has chosen the route and stays.
void note_name(Session& session, const net::tls::Stream& stream) {
    if (session.listener().peeks) return;
    session.front().facts->server_name = stream.server_name();
}

// The end of a handshake, for the counters and for what the log says.
bool end_handshake(Session& session, net::tls::Stream& stream, Duration took) {
    Front& front = session.front();
    ClientFacts& facts = *front.facts;
    facts.tls_version = stream.version();
    facts.tls_cipher = stream.cipher();
    facts.tls_resumed = stream.resumed();
    note_name(session, stream);
    facts.alpn = stream.alpn();
    if (session.listener().tls_asks_clients()) facts.client_cert = stream.peer_subject();
    facts.tls_us = microseconds(took);
    auto& cells = session.listener().cells;
    cells.handshake(facts.tls_resumed ? metrics::Handshake::resumed : metrics::Handshake::full)
        .add();
    cells.handshake_time.record(whole_us(took));
    return true;
}

bool fail_handshake(Session& session, CloseReason reason, std::string_view problem) {
    const bool late = reason == CloseReason::tls_timeout;
    session.listener()
        .cells.handshake(late ? metrics::Handshake::timeout : metrics::Handshake::failed)
        .add();
    return refuse(session, reason, problem);
}

// One that never says a word costs no memory of OpenSSL's.
net::Task<bool> first_bytes(Session& session, TimePoint deadline) {
    Peek peek(session, 1);
    for (;;) {
        const auto news = peek.look();
        if (news == Peek::News::more) co_return true;
        if (news != Peek::News::nothing) co_return client_gone(session);
        if (session.now() >= deadline)
            co_return fail_handshake(session, CloseReason::tls_timeout, {});
        peek.forget_readiness();
        co_await wait_for(session, session.client_socket().readable, deadline);
        if (!session.is_arriving()) co_return false;
    }
}

// With its hello alone, and nothing to come, a client makes no handshake. (Later on it may say its
// last words and go.) What is no TLS is refused in OpenSSL's words.
bool only_said_hello(net::Socket& socket) noexcept {
    if ((socket.seen() & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return false;
    std::byte start{};
    return socket.peek({&start, 1}).ok() && start == tls_handshake_record;
}

// Each step may cost a signature: it waits until all others have had their turn.
struct WithClient {
    static constexpr auto role = net::WaitRole::reader;
    static constexpr bool looks_once_more = false;
    Session& session;

    [[nodiscard]] bool lives() const noexcept { return session.is_arriving(); }
    [[nodiscard]] TimePoint now() const noexcept { return session.now(); }
    void wake_at(TimePoint deadline) const noexcept { session.wake_at(deadline); }
    [[nodiscard]] auto turn() const noexcept {
        return session.worker().loop().background().yield();
    }
    [[nodiscard]] bool has_left() const noexcept {
        return only_said_hello(session.client_socket());
    }
};

net::Task<bool> shake_hands(Session& session, TimePoint started, TimePoint deadline) {
    net::Socket& socket = session.client_socket();
    socket.readable.set(session.worker().loop().ready());  // there is something, though seen
    Front& front = session.front();
    front.server_context = session.listener().tls;
    session.secure_client(std::make_unique<net::tls::Stream>(*front.server_context, socket));
    net::tls::Stream& stream = *front.client;
    auto waiting = wait_for_handshake(stream, socket, deadline, WithClient{session});
    switch (co_await waiting) {
        case Handshaken::done: co_return end_handshake(session, stream, session.now() - started);
        case Handshaken::failed:
            note_name(session, stream);
            co_return fail_handshake(session, reason_of(stream.failure()), stream.error_text());
        case Handshaken::late_here:
        case Handshaken::late: co_return fail_handshake(session, CloseReason::tls_timeout, {});
        case Handshaken::left:
            co_return fail_handshake(session, CloseReason::tls_failed, left_early);
        case Handshaken::gone: break;
    }
    co_return false;
}

net::Task<bool> terminate(Session& session) {
    const TimePoint started = session.now();
    const TimePoint deadline =
        deadline_after(started, session.listener().settings().timeouts.tls_handshake);
    auto waiting = first_bytes(session, deadline);
    if (!co_await waiting) co_return false;
    auto turn = take_turn(session, deadline);
    balancer::Permit permit = co_await turn;
    if (!session.is_arriving()) co_return false;
    if (!permit) co_return fail_handshake(session, CloseReason::tls_timeout, "max_handshakes");
    auto shaking = shake_hands(session, started, deadline);
    const bool done = co_await shaking;
    permit.release();
    session.worker().call_handshake(session.listener().account());
    co_return done;
}

// --- all of it --------------------------------------------------------------------------------

net::Task<bool> look_at_client(Session& session) {
    const auto& listener = session.listener();
    const TimePoint deadline =
        deadline_after(session.now(), listener.settings().timeouts.client_hello);
    if (listener.shared->table.has_starttls()) {
        auto reading = read_postgres(session, deadline);
        const Start start = co_await reading;
        if (start == Start::refused) co_return false;
        if (start == Start::plain) {
            session.front().plain_start = true;
            if (!listener.settings().tls) co_return true;
            co_return refuse(session, CloseReason::tls_failed,
                             "the client did not ask for TLS, which is required");
        }
    }
    auto reading = read_hello(session, deadline);
    co_return co_await reading;
}

// What a client offers has chosen the way and is of no further use, except to the log where nothing
// is agreed on here.
void drop_protocols(Session& session) {
    constexpr std::size_t most = 64;  // a hello may have thousands
    Front* const front = session.front_if();
    if (front == nullptr) return;
    const auto offered = std::exchange(front->offered_alpn, {});
    if (session.terminates_tls()) return;
    std::string& alpn = front->facts->alpn;
    for (const std::string& name : offered | std::views::take(most))
        alpn += (alpn.empty() ? "" : ",") + name;
}

// True: the client is welcome, and its upstream known.
net::Task<bool> receive(Session& session) {
    if (session.header_rule() != HeaderRule::none) {
        auto reading = read_header(session);
        if (!co_await reading) co_return false;
    }
    if (session.listener().peeks) {
        auto looking = look_at_client(session);
        if (!co_await looking) co_return false;
    }
    if (!session.choose_upstream()) co_return false;
    drop_protocols(session);
    if (!session.terminates_tls()) co_return true;
    auto shaking = terminate(session);
    co_return co_await shaking;
}

}  // namespace

net::Root receive_client(Session& session) {
    auto receiving = receive(session);
    const bool welcome = co_await receiving;
    if (welcome && session.is_arriving()) session.begin_connecting();
    session.leave();
}

}  // namespace penstock::proxy
