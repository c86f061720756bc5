#include "net/dns/resolver.hpp"

#include <ares.h>
#include <fcntl.h>
#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "net/dns/answer.hpp"

namespace penstock::net {

namespace asio = boost::asio;

namespace {

// Of the servers that the configuration names; the system's have their own in resolv.conf.
constexpr int time_out_ms = 1000;
constexpr int tries = 3;
constexpr auto longest_wait = std::chrono::seconds(1);

// Counted: several resolvers may live at a time.
struct Library {
    Library() { ares_library_init(ARES_LIB_INIT_ALL); }
    ~Library() { ares_library_cleanup(); }
};

DnsError error_of(int status) {
    return {.is_empty = status == ARES_ENODATA || status == ARES_ENOTFOUND,
            .text = ares_strerror(status)};
}

}  // namespace

// Callbacks of c-ares and of Asio may come after the resolver is gone: they hold the state.
struct DnsResolver::State : std::enable_shared_from_this<State> {
    using Descriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;
    using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                             asio::wait_traits<std::chrono::steady_clock>,
                                             asio::io_context::executor_type>;

    // A duplicate of one of c-ares' sockets, which it closes when it likes.
    struct Watched {
        Watched(asio::io_context& context, int fd) : descriptor(context, fd) {}
        Descriptor descriptor;
        bool for_reading = false;
        bool for_writing = false;
    };
    using WatchedPtr = std::shared_ptr<Watched>;

    template <typename Record>
    struct Query {
        std::shared_ptr<State> state;
        Handler<Record> handler;

        // Never from within the call that began it.
        void finish(std::expected<std::vector<Record>, DnsError> result) {
            if (!result && !result.error().is_empty) state->stale = true;
            --state->queries;
            asio::post(state->context,
                       [of = state, to = std::move(handler), found = std::move(result)]() mutable {
                           if (!of->stopped) to(std::move(found));
                       });
        }
    };

    State(asio::io_context& its_context, std::vector<Endpoint> its_servers)
        : context(its_context), servers(std::move(its_servers)), timer(its_context) {}
    ~State() { close(); }

    [[nodiscard]] int open();
    void close() noexcept;
    /// One query more, by a channel that knows the system's configuration of now, if nobody else
    /// uses the old one. Whatever it returns, Query::finish() has to follow.
    [[nodiscard]] int begin_query();
    void on_state(int fd, bool readable, bool writable);
    void wait(int fd, const WatchedPtr& watched, bool for_reading);
    void process(int readable, int writable);
    void arm_timer();

    Library library;
    asio::io_context& context;
    std::vector<Endpoint> servers;
    Timer timer;
    ares_channel channel = nullptr;
    std::map<int, WatchedPtr> sockets;
    std::size_t queries = 0;
    bool stale = false;
    bool stopped = false;
};

int DnsResolver::State::open() {
    ares_options options{};
    int mask = ARES_OPT_SOCK_STATE_CB;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
        static_cast<State*>(self)->on_state(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    char lookups[] = "b";
    if (!servers.empty()) {
        options.timeout = time_out_ms;
        options.tries = tries;
        options.ndomains = 0;
        options.lookups = lookups;
        mask |= ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS;
    }
    if (const int status = ares_init_options(&channel, &options, mask); status != ARES_SUCCESS)
        return status;
    std::string list;
    for (const Endpoint& server : servers)
        list += fmt::format("{}{}", list.empty() ? "" : ",", server.to_string());
    return servers.empty() ? ARES_SUCCESS : ares_set_servers_ports_csv(channel, list.c_str());
}

void DnsResolver::State::close() noexcept {
    if (channel != nullptr) ares_destroy(std::exchange(channel, nullptr));
    sockets.clear();
}

int DnsResolver::State::begin_query() {
    if (stale && queries == 0) close();
    ++queries;
    if (channel != nullptr) return ARES_SUCCESS;
    stale = false;
    const int status = open();
    if (status != ARES_SUCCESS) close();
    return status;
}

void DnsResolver::State::on_state(int fd, bool readable, bool writable) {
    if (!readable && !writable) {
        if (const auto found = sockets.find(fd); found != sockets.end()) {
            found->second->for_reading = found->second->for_writing = false;
            boost::system::error_code ignored;
            found->second->descriptor.close(ignored);
            sockets.erase(found);
        }
        return;
    }
    auto& watched = sockets[fd];
    if (!watched) {
        const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (duplicate < 0) {
            sockets.erase(fd);
            return;  // its query times out
        }
        watched = std::make_shared<Watched>(context, duplicate);
    }
    const bool start_reading = readable && !std::exchange(watched->for_reading, readable);
    const bool start_writing = writable && !std::exchange(watched->for_writing, writable);
    watched->for_reading = readable;
    watched->for_writing = writable;
    const WatchedPtr it = watched;
    if (start_reading) wait(fd, it, true);
    if (start_writing) wait(fd, it, false);
}

void DnsResolver::State::wait(int fd, const WatchedPtr& watched, bool for_reading) {
    watched->descriptor.async_wait(
        for_reading ? Descriptor::wait_read : Descriptor::wait_write,
        [self = shared_from_this(), fd, watched,
         for_reading](const boost::system::error_code& error) {
            bool& wanted = for_reading ? watched->for_reading : watched->for_writing;
            if (error || !wanted || self->channel == nullptr) return;
            self->process(for_reading ? fd : ARES_SOCKET_BAD, for_reading ? ARES_SOCKET_BAD : fd);
            const auto now = self->sockets.find(fd);
            const bool same = now != self->sockets.end() && now->second == watched;
            if (same && wanted) self->wait(fd, watched, for_reading);
        });
}

void DnsResolver::State::process(int readable, int writable) {
    ares_process_fd(channel, readable, writable);
    arm_timer();
}

void DnsResolver::State::arm_timer() {
    timeval most{longest_wait.count(), 0};
    timeval left{};
    if (channel == nullptr || queries == 0) {
        timer.cancel();
        return;
    }
    ares_timeout(channel, &most, &left);
    timer.expires_after(std::chrono::seconds(left.tv_sec) +
                        std::chrono::microseconds(left.tv_usec));
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error && self->channel != nullptr) self->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    });
}

DnsResolver::DnsResolver(asio::io_context& context, std::vector<Endpoint> servers)
    : state_(std::make_shared<State>(context, std::move(servers))) {}

DnsResolver::~DnsResolver() { stop(); }

void DnsResolver::stop() {
    state_->stopped = true;
    state_->close();
    state_->timer.cancel();
}

void DnsResolver::find_addresses(const std::string& name, Handler<DnsAddress> handler) {
    using Query = State::Query<DnsAddress>;
    auto query = std::make_unique<Query>(Query{state_, std::move(handler)});
    if (const int status = state_->begin_query(); status != ARES_SUCCESS)
        return query->finish(std::unexpected(error_of(status)));
    ares_addrinfo_hints hints{};
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(
        state_->channel, name.c_str(), nullptr, &hints,
        [](void* argument, int status, int, ares_addrinfo* result) {
            const std::unique_ptr<Query> of(static_cast<Query*>(argument));
            const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> freed(
                result, &ares_freeaddrinfo);
            if (status != ARES_SUCCESS) return of->finish(std::unexpected(error_of(status)));
            std::vector<DnsAddress> found;
            for (auto* node = result->nodes; node != nullptr && found.size() < most_records;
                 node = node->ai_next)
                found.push_back({Endpoint::from_sockaddr(node->ai_addr, node->ai_addrlen),
                                 ttl_of(node->ai_ttl)});
            of->finish(std::move(found));
        },
        query.release());
    state_->arm_timer();
}

void DnsResolver::find_services(const std::string& name, Handler<DnsService> handler) {
    using Query = State::Query<DnsService>;
    auto query = std::make_unique<Query>(Query{state_, std::move(handler)});
    if (const int status = state_->begin_query(); status != ARES_SUCCESS)
        return query->finish(std::unexpected(error_of(status)));
    ares_search(
        state_->channel, name.c_str(), 1 /* IN */, dns_type_srv,
        [](void* argument, int status, int, unsigned char* message, int size) {
            const std::unique_ptr<Query> of(static_cast<Query*>(argument));
            if (status != ARES_SUCCESS) return of->finish(std::unexpected(error_of(status)));
            ares_srv_reply* records = nullptr;
            if (const int parsed = ares_parse_srv_reply(message, size, &records);
                parsed != ARES_SUCCESS)
                return of->finish(std::unexpected(error_of(parsed)));
            const auto ttl = smallest_ttl({message, static_cast<std::size_t>(size)}, dns_type_srv);
            std::vector<DnsService> found;
            for (auto* record = records; record != nullptr && found.size() < most_records;
                 record = record->next)
                found.push_back({record->host, record->port, record->priority, record->weight,
                                 ttl.value_or(Duration::zero())});
            ares_free_data(records);
            of->finish(std::move(found));
        },
        query.release());
    state_->arm_timer();
}

}  // namespace penstock::net
