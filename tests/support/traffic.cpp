#include "tests/support/traffic.hpp"

#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>

#include "tests/support/keyed_stream.hpp"

namespace penstock::test {

namespace {

constexpr std::uint64_t id_size = ConnectionId::size;
constexpr std::size_t chunk = 16384;

/// How much a new connection sends: mostly little, now and then more than fits one read.
std::uint64_t amount_of(std::uint64_t serial) {
    return serial % 50 == 7 ? 100'000 : id_size + serial * 37 % 1000;
}

/// One end of a connection, as far as it got.
struct Peer {
    enum class Kind : std::uint8_t { listener, visitor, regular, backend };

    Kind kind = Kind::visitor;
    Socket socket{};
    int key = -1;  // the descriptor, also once it is closed
    bool retired = false;
    ConnectionId id{};
    bool has_id = false;
    bool connecting = false;
    bool eager = false;    // its FIN follows its last byte; otherwise the answer's last byte
    bool leaving = false;  // a regular on its way out
    bool counted = false;  // among the living
    std::uint64_t goal = 0;  // bytes to send so far
    std::string target{};
    std::string client_address{};
    SideRecord did{};
    std::optional<KeyedStream> outgoing{};
    std::optional<StreamVerifier> incoming{};
    std::array<std::byte, id_size> head{};  // of a backend's connection: the id, as it comes
    std::uint64_t in_head = 0;
    Clock::time_point waits_since{};
    Clock::time_point next_exchange{};
    Clock::time_point end_of_life = Clock::time_point::max();
    std::uint32_t interest = 0;

    [[nodiscard]] bool is_client() const { return kind == Kind::visitor || kind == Kind::regular; }
    [[nodiscard]] bool answered() const { return !connecting && did.received >= goal; }
    [[nodiscard]] bool may_finish() const {
        if (did.sent_fin || connecting || did.sent < goal) return false;
        if (kind == Kind::backend) return did.saw == End::fin;
        if (kind == Kind::regular && !leaving) return false;
        return eager || answered();
    }
};

UniqueFd start_connecting(const Address& to, std::uint64_t serial, int& error) {
    UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // Many source addresses: one has too few ports for long runs.
    if (to.family() == AF_INET &&
        ntohl(reinterpret_cast<const sockaddr_in*>(to.data())->sin_addr.s_addr) >> 24 == 127) {
        const int on = 1;
        ::setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        const auto from = Address::parse("127.1.2." + std::to_string(1 + serial % 16) + ":0");
        ::bind(fd.get(), from.data(), from.size());
    }
    error = ::connect(fd.get(), to.data(), to.size()) == 0 || errno == EINPROGRESS ? 0 : errno;
    return fd;
}

}  // namespace

class Traffic::Engine {
public:
    explicit Engine(Traffic& owner);
    void run();

    std::vector<std::string> addresses;
    std::mutex mutex;              // of `targets`
    std::vector<Address> targets;
    std::atomic<bool> stop = false;

private:
    [[nodiscard]] const TrafficOptions& options() const { return owner_.options_; }
    Peer& add(std::unique_ptr<Peer> peer);
    void watch(Peer& peer);
    void turn();
    void accept_from(Peer& listener);
    void open_due();
    void open_client(Peer::Kind kind);
    void on_event(Peer& peer);
    bool connected(Peer& peer);
    void read_some(Peer& peer);
    void take(Peer& peer, std::span<const std::byte> bytes);
    bool write_some(Peer& peer);
    void work(Peer& peer);
    void look_around();
    void retire(Peer& peer);
    void book(const Peer& peer);
    void lost(Peer& peer, const std::string& what);
    void problem(const Peer& peer, const std::string& what);
    [[nodiscard]] bool over();

    Traffic& owner_;
    UniqueFd epoll_;
    std::map<int, std::unique_ptr<Peer>> peers_;
    std::vector<std::unique_ptr<Peer>> retired_;  // their descriptors stay until the turn's end
    std::size_t visitors_ = 0;
    std::size_t regulars_ = 0;
    std::size_t behind_ = 0;  // connections to backends that carry an id
    std::uint64_t serial_ = 0;
    Clock::time_point last_open_{};
    double due_ = 0;
    Clock::time_point last_look_{};
    std::optional<Clock::time_point> stop_seen_;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(65536);
};

Traffic::Engine::Engine(Traffic& owner) : owner_(owner), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (std::size_t i = 0; i < owner.options_.backends; ++i) {
        auto peer = std::make_unique<Peer>();
        peer->kind = Peer::Kind::listener;
        peer->socket = Socket(listen_on(Address::parse("127.0.0.1:0"), 4096));
        addresses.push_back(Address::local_of(peer->socket.fd()).text());
        watch(add(std::move(peer)));
    }
}

Peer& Traffic::Engine::add(std::unique_ptr<Peer> peer) {
    Peer& added = *peer;
    const epoll_event event{.events = 0, .data = {.ptr = &added}};
    auto copy = event;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, added.socket.fd(), &copy) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    added.key = added.socket.fd();
    peers_[added.key] = std::move(peer);
    return added;
}

/// Asks for what this peer can use: reading until the other side has ended, writing while there is
/// something to send.
void Traffic::Engine::watch(Peer& peer) {
    const bool writes = peer.connecting || peer.did.sent < peer.goal;
    const bool reads = peer.did.saw == End::open && !peer.connecting;
    const std::uint32_t wanted = (writes ? EPOLLOUT : 0U) | (reads ? EPOLLIN : 0U);
    if (wanted == peer.interest) return;
    peer.interest = wanted;
    epoll_event event{.events = wanted, .data = {.ptr = &peer}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peer.socket.fd(), &event);
}

void Traffic::Engine::run() {
    while (!over()) turn();
    for (const auto& [fd, peer] : peers_) {
        if (peer->is_client()) problem(*peer, "did not end");
        if (peer->kind == Peer::Kind::backend && peer->has_id) book(*peer);
    }
}

/// Once told to stop: all clients have left, and the backends' sides have, too.
bool Traffic::Engine::over() {
    if (!stop) return false;
    if (!stop_seen_) {
        stop_seen_ = Clock::now();
        for (const auto& [fd, peer] : peers_)
            if (peer->kind == Peer::Kind::regular) peer->end_of_life = *stop_seen_;
        last_look_ = {};
    }
    if (visitors_ == 0 && regulars_ == 0 && behind_ == 0) return true;
    return since(*stop_seen_) > scaled(options().limit) + 5s;
}

void Traffic::Engine::turn() {
    std::array<epoll_event, 256> events;
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 2);
    for (int i = 0; i < n; ++i)
        on_event(*static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr));
    retired_.clear();
    if (!stop) open_due();
    if (since(last_look_) >= 50ms) look_around();
    retired_.clear();
}

/// New connections at the pace asked for; what was missed in a stall is not made up for.
void Traffic::Engine::open_due() {
    const std::lock_guard lock(mutex);
    const auto now = Clock::now();
    if (targets.empty()) return;
    const std::chrono::duration<double> passed = now - last_open_;
    last_open_ = now;
    due_ = std::min(due_ + std::min(passed.count(), 0.1) * options().per_second, 100.0);
    for (; due_ >= 1; due_ -= 1) {
        if (visitors_ >= options().max_in_flight) break;
        open_client(Peer::Kind::visitor);
    }
    // A few at a time: a start must not look like an attack.
    for (int i = 0; i < 20 && regulars_ < options().long_lived; ++i)
        open_client(Peer::Kind::regular);
}

void Traffic::Engine::open_client(Peer::Kind kind) {
    auto peer = std::make_unique<Peer>();
    const std::uint64_t serial = serial_++;
    const Address& target = targets[serial % targets.size()];
    peer->kind = kind;
    peer->id = owner_.ledger_.open();
    peer->has_id = true;
    peer->target = target.text();
    peer->eager = kind == Peer::Kind::visitor && serial % 2 == 0;
    peer->goal = kind == Peer::Kind::visitor ? amount_of(serial) : 64;
    peer->outgoing.emplace(peer->id, Direction::to_backend);
    peer->incoming.emplace(KeyedStream(peer->id, Direction::to_client), &owner_.ledger_.streams());
    peer->waits_since = Clock::now();
    peer->next_exchange = peer->waits_since + options().exchange_every;
    if (kind == Peer::Kind::regular && options().life > 0ms)
        peer->end_of_life = peer->waits_since + options().life / 2 +
                            options().life * static_cast<int>(serial % 64) / 64;
    int error = 0;
    UniqueFd fd = start_connecting(target, serial, error);
    ++owner_.opened_;
    if (error != 0) return problem(*peer, std::string("connect: ") + std::strerror(error));
    peer->connecting = true;
    peer->socket = Socket(std::move(fd));
    ++(kind == Peer::Kind::visitor ? visitors_ : regulars_);
    watch(add(std::move(peer)));
}

void Traffic::Engine::accept_from(Peer& listener) {
    for (int i = 0; i < 64; ++i) {
        UniqueFd fd(
            ::accept4(listener.socket.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) return;
        auto peer = std::make_unique<Peer>();
        peer->kind = Peer::Kind::backend;
        peer->socket = Socket(std::move(fd));
        watch(add(std::move(peer)));
    }
}

void Traffic::Engine::on_event(Peer& peer) {
    if (peer.retired) return;
    if (peer.kind == Peer::Kind::listener) return accept_from(peer);
    if (peer.connecting && !connected(peer)) return;
    work(peer);
}

bool Traffic::Engine::connected(Peer& peer) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(peer.socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        problem(peer, std::string("connect: ") + std::strerror(error));
        retire(peer);
        return false;
    }
    peer.connecting = false;
    peer.client_address = peer.socket.local().text();
    return true;
}

/// Everything that can be done now; what remains is watched for.
void Traffic::Engine::work(Peer& peer) {
    if (peer.did.saw == End::open) read_some(peer);
    if (!write_some(peer)) peer.did.saw = peer.did.saw == End::open ? End::reset : peer.did.saw;
    if (peer.may_finish()) {
        peer.socket.finish();
        peer.did.sent_fin = true;
    }
    if (peer.is_client() && !peer.counted && peer.did.received > 0) {
        peer.counted = true;
        ++owner_.living_;
    }
    const bool early = peer.is_client() && !peer.did.sent_fin;
    if (peer.did.saw != End::open && (early || peer.did.sent_fin || peer.did.saw != End::fin))
        return retire(peer);
    watch(peer);
    const bool rests = peer.kind == Peer::Kind::regular && !peer.leaving && peer.answered();
    if (rests) peer.waits_since = {};
}

void Traffic::Engine::read_some(Peer& peer) {
    for (int i = 0; i < 4 && peer.did.saw == End::open; ++i) {
        const auto n = peer.socket.try_receive(buffer_);
        if (n == -EAGAIN) return;
        if (n <= 0)
            peer.did.saw = end_of(n);
        else
            take(peer, std::span(buffer_).first(static_cast<std::size_t>(n)));
    }
}

void Traffic::Engine::take(Peer& peer, std::span<const std::byte> bytes) {
    peer.did.received += bytes.size();
    if (peer.kind == Peer::Kind::backend && !peer.has_id) {
        const auto count = std::min<std::size_t>(bytes.size(), id_size - peer.in_head);
        std::ranges::copy(bytes.first(count),
                          peer.head.begin() + static_cast<std::ptrdiff_t>(peer.in_head));
        peer.in_head += count;
        bytes = bytes.subspan(count);
        if (peer.in_head < id_size) return;
        peer.has_id = true;
        peer.id.bytes = peer.head;
        ++behind_;
        peer.outgoing.emplace(peer.id, Direction::to_client);
        peer.incoming.emplace(KeyedStream(peer.id, Direction::to_backend),
                              &owner_.ledger_.streams());
        peer.incoming->feed(peer.id.bytes);
    }
    peer.incoming->feed(bytes);
    if (peer.kind == Peer::Kind::backend) peer.goal = peer.did.received;
}

/// False when the connection is broken for sending.
bool Traffic::Engine::write_some(Peer& peer) {
    std::array<std::byte, chunk> bytes;
    while (peer.outgoing && peer.did.sent < peer.goal) {
        const auto count = std::min<std::uint64_t>(chunk, peer.goal - peer.did.sent);
        const auto part = std::span(bytes).first(static_cast<std::size_t>(count));
        peer.outgoing->fill(peer.did.sent, part);
        const auto n = peer.socket.try_send(part);
        if (n == -EAGAIN) return true;
        if (n < 0) return false;
        peer.did.sent += static_cast<std::uint64_t>(n);
    }
    return true;
}

/// What no event starts: the next exchange of a regular, its end, and whoever waits in vain.
void Traffic::Engine::look_around() {
    const auto now = last_look_ = Clock::now();
    std::vector<Peer*> clients;
    for (const auto& [fd, peer] : peers_)
        if (peer->is_client()) clients.push_back(peer.get());
    for (Peer* peer : clients) {
        const bool waits = peer->waits_since != Clock::time_point{};
        if (waits && now - peer->waits_since > scaled(options().limit)) {
            lost(*peer, "no answer: sent " + std::to_string(peer->did.sent) + ", received " +
                            std::to_string(peer->did.received));
            continue;
        }
        if (peer->kind != Peer::Kind::regular || peer->connecting || peer->leaving) continue;
        if (!peer->answered()) continue;
        if (now >= peer->end_of_life) {
            peer->leaving = true;
        } else if (now >= peer->next_exchange) {
            peer->goal += 16 + peer->goal * 31 % 3000;
            peer->next_exchange = now + options().exchange_every;
        } else {
            continue;
        }
        peer->waits_since = now;
        work(*peer);
    }
}

void Traffic::Engine::lost(Peer& peer, const std::string& what) {
    problem(peer, what);
    peer.did.sent_reset = true;
    peer.socket.reset();
    retire(peer);
}

void Traffic::Engine::retire(Peer& peer) {
    if (peer.is_client()) {
        --(peer.kind == Peer::Kind::visitor ? visitors_ : regulars_);
        const bool good = peer.did.saw == End::fin && peer.did.sent_fin && peer.answered();
        if (good) ++owner_.completed_;
        if (!good && !peer.connecting && !peer.did.sent_reset)
            problem(peer, std::string("ended by a ") + name_of(peer.did.saw) + " after " +
                              std::to_string(peer.did.received) + " of " +
                              std::to_string(peer.goal) + " bytes");
    }
    if (peer.counted) --owner_.living_;
    if (peer.kind == Peer::Kind::backend && peer.has_id) --behind_;
    if (peer.has_id) book(peer);
    peer.retired = true;
    const auto found = peers_.find(peer.key);
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.key, nullptr);
    retired_.push_back(std::move(found->second));
    peers_.erase(found);
}

void Traffic::Engine::book(const Peer& peer) {
    owner_.ledger_.update(peer.id, [&](ConnectionRecord& record) {
        SideRecord& side = peer.is_client() ? record.client : record.backend;
        side = peer.did;
        side.present = true;
        if (peer.incoming) side.mismatch = peer.incoming->mismatch();
        if (!peer.is_client()) {
            ++record.backend_connections;
            return;
        }
        record.client_address = peer.client_address;
        record.proxy_address = peer.target;
        record.expected_reason = "completed";
    });
}

void Traffic::Engine::problem(const Peer& peer, const std::string& what) {
    if (owner_.problems_.size() >= 100) return;
    owner_.problems_.push_back("connection " + peer.id.text() + " (client " + peer.client_address +
                               ") to " + peer.target + ": " + what);
}

Traffic::Traffic(TrafficOptions options)
    : options_(options), engine_(std::make_unique<Engine>(*this)) {
    thread_ = std::thread([this] { engine_->run(); });
}

Traffic::~Traffic() { finish(); }

std::vector<std::string> Traffic::backends() const { return engine_->addresses; }

void Traffic::start(std::vector<Address> targets) {
    const std::lock_guard lock(engine_->mutex);
    engine_->targets = std::move(targets);
}

void Traffic::finish() {
    engine_->stop = true;
    if (thread_.joinable()) thread_.join();
}

bool Traffic::wait_for_more(std::uint64_t count, milliseconds limit) const {
    const std::uint64_t until = completed_ + count;
    return wait_for([&] { return completed_ >= until; }, limit);
}

}  // namespace penstock::test
