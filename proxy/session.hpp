#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <boost/intrusive/list_hook.hpp>

#include "balancer/backend.hpp"
#include "balancer/slot_limiter.hpp"
#include "base/close_reason.hpp"
#include "base/free_list.hpp"
#include "base/timing_wheel.hpp"
#include "net/event_loop.hpp"
#include "net/socket.hpp"
#include "net/task.hpp"
#include "proxy/access_log/record.hpp"
#include "proxy/attempt.hpp"
#include "proxy/context.hpp"
#include "proxy/dead_peer.hpp"
#include "proxy/deadlines.hpp"
#include "proxy/flow.hpp"
#include "proxy/front/front.hpp"
#include "proxy/inspect/session_info.hpp"
#include "proxy/pace.hpp"

namespace penstock::proxy {

class Worker;

enum class Side : std::uint8_t { client, backend };
constexpr Side opposite(Side side) noexcept {
    return side == Side::client ? Side::backend : Side::client;
}

enum class SessionState : std::uint8_t {
    arriving,    // reading what comes before the client is sent anywhere
    connecting,  // choosing a backend, connecting, or waiting to try again
    relaying,
    flushing,  // one side failed: the other gets what was read, then a reset
    closed,
};

/// What becomes of the PROXY header of a fresh connection.
enum class HeaderRule : std::uint8_t {
    none,     // there is none
    believe,  // it names the client; access and limits per source wait for it
    ignore,   // it is read and checked, and not believed
};

/// A fresh connection, as accepted: what may travel to another worker before it becomes a session.
struct Accepted {
    net::UniqueFd fd;
    CompactEndpoint peer;
    CompactEndpoint local;
    WallTime at;
    balancer::Permit process_permit;
    balancer::Permit listener_permit;
    balancer::SourcePermit source_permit;
    ReasonSet would_refuse;
    HeaderRule header = HeaderRule::none;
};

/// One client's connection, from accept to its line in the access log. Lives and dies on one
/// worker. The connector sets it up, two pumps relay, and whatever ends it, it leaves through
/// finish(). A deadline is filed in every state but closed.
class Session final : public net::Retired,
                      public net::HangupHandler,
                      public net::CoroutineOwner,
                      public FromFreeList,
                      public boost::intrusive::list_base_hook<>,
                      private Timer {
public:
    Session(Worker& worker, ListenerPtr listener, Accepted accepted, std::uint64_t sequence);
    ~Session() override;

    /// Links the session to its worker, and receives the client or starts connecting.
    void start();

    /// Ends the session by decision of the proxy: each side sees what the table of the access log
    /// says for `reason`. The first reason counts; later calls do nothing.
    void abort(CloseReason reason, int error = 0) noexcept;

    [[nodiscard]] SessionState state() const noexcept { return state_; }
    /// No byte for a second in either direction, and nothing on its way: may end by FIN.
    [[nodiscard]] bool is_quiet(TimePoint now) const noexcept;
    [[nodiscard]] TimePoint last_activity() const noexcept { return times_.last_activity; }
    /// Whose connection it has, or is trying to have; null = none.
    [[nodiscard]] const balancer::Backend* backend() const noexcept { return backend_; }
    /// What its listener asked for.
    [[nodiscard]] Role role() const noexcept { return role_; }
    /// It came by that listener, and went to that upstream ("" = to any, or none).
    [[nodiscard]] bool came_by(const ListenerAccount& listener,
                               const std::string& upstream) const noexcept {
        return &listener_->account() == &listener &&
               (upstream.empty() || (upstream_ && upstream_->shared->name == upstream));
    }
    /// It had its connection to the backend before `moment`.
    [[nodiscard]] bool relays_since_before(TimePoint moment) const noexcept {
        return connect_us_ != unknown_time && ready_at_ <= moment;
    }

    // For the operator.
    [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
    [[nodiscard]] bool matches(const SessionFilter& filter) const noexcept;
    [[nodiscard]] SessionInfo info() const;

    // For whoever receives the client (front/arrival.hpp).
    [[nodiscard]] ListenerContext& listener() noexcept { return *listener_; }
    [[nodiscard]] net::Socket& client_socket() noexcept { return client_socket_; }
    [[nodiscard]] bool is_arriving() const noexcept { return state_ == SessionState::arriving; }
    [[nodiscard]] TimePoint now() const noexcept;
    [[nodiscard]] TimePoint accepted_at() const noexcept { return accepted_at_; }
    [[nodiscard]] HeaderRule header_rule() const noexcept { return header_; }
    /// Made at the first call.
    [[nodiscard]] Front& front();
    [[nodiscard]] Front* front_if() const noexcept {
        return extras_ ? extras_->front.get() : nullptr;
    }
    /// Goes by the header as header_rule() says. False: the client it names may not enter, and the
    /// session was aborted.
    [[nodiscard]] bool accept_header(net::proxy_protocol::Header header);
    /// Where the client goes, by all that is known of it. False: nowhere; aborted.
    [[nodiscard]] bool choose_upstream();
    /// What choose_upstream() has found.
    [[nodiscard]] bool terminates_tls() const noexcept { return terminates_; }
    /// It is gone, before it had a backend.
    void client_left() noexcept;
    /// The connection of the client speaks TLS from now on.
    void secure_client(std::unique_ptr<net::tls::Stream> stream);
    /// The client was received.
    void begin_connecting();

    // For the connector.
    [[nodiscard]] ConnectionId id() const noexcept;
    /// The address that the client connected to.
    [[nodiscard]] CompactEndpoint local() const noexcept;
    /// The connection to the backend speaks TLS from now on.
    void secure_backend(std::unique_ptr<net::tls::Stream> stream,
                        std::shared_ptr<const net::tls::ClientContext> context);
    [[nodiscard]] std::string_view server_name() const noexcept {
        const Front* front = front_if();
        return front != nullptr ? std::string_view(front->facts->server_name) : "";
    }
    [[nodiscard]] Worker& worker() noexcept { return worker_; }
    [[nodiscard]] UpstreamContext& upstream() noexcept { return *upstream_; }
    [[nodiscard]] net::Socket& backend_socket() noexcept { return backend_socket_; }
    [[nodiscard]] bool is_connecting() const noexcept { return state_ == SessionState::connecting; }
    /// The latch that an event of the backend socket, wake_at() or an abort ends a wait on.
    [[nodiscard]] net::Latch& wake_up() noexcept { return backend_socket_.writable; }
    void wake_at(TimePoint deadline) noexcept;
    [[nodiscard]] const CompactEndpoint& peer() const noexcept { return peer_; }
    [[nodiscard]] bool has_upstream_slot() const noexcept { return slots_.upstream; }
    /// Which source address of its upstream the connection to the backend comes from. Given back
    /// when that is closed.
    [[nodiscard]] SourceAddresses::Place& source_place() noexcept { return source_place_; }
    void keep_upstream_slot(balancer::Permit slot) noexcept;
    /// Whoever waits is called.
    void release_upstream_slot() noexcept;
    void take_backend(balancer::Backend& backend, balancer::Permit slot,
                      balancer::CircuitPass pass) noexcept;
    /// Gives its slot back; whoever waits is called.
    void drop_backend(const AttemptResult& result, Duration took);
    /// What the set-up is about: connecting, queued or held.
    void now_is(Activity activity) noexcept { waiting_ = activity; }
    /// What hung up before raises no other event: ends the set-up if that leaves nothing to do.
    void look_at_client();
    void add_queue_time(Duration waited);
    /// Ends the set-up: starts the pumps. `took`: what connecting took; zero with a warm
    /// connection.
    void relay(Duration took, bool warm);
    /// A coroutine of this session has ended.
    void leave() noexcept;

    void on_coroutine_failure(std::exception_ptr error) noexcept override;

private:
    [[nodiscard]] Activity activity() const noexcept;
    void on_hangup(net::Watch& watch) override;
    void on_timer(TimePoint now) override;

    static net::Root pump(Session& self, Side from);
    [[nodiscard]] Step move(Side from);
    [[nodiscard]] Step move_paced(Side from);
    static constexpr std::size_t unlimited = ~std::size_t{0};
    struct Moved {
        Step step;
        std::size_t bytes;
    };
    [[nodiscard]] Moved move_secured(Side from, std::size_t allowance) noexcept;
    /// What a failed side left over goes to the other one; how much of it went.
    std::size_t deliver_rest(Side from) noexcept;
    template <typename F>
    auto with_streams(Side from, F function) noexcept;
    [[nodiscard]] net::tls::Stream* secured(Side side) noexcept;
    [[nodiscard]] bool pass_end_on(Side from) noexcept;
    void note_tls_problem(Side side) noexcept;
    [[nodiscard]] bool ends_without_a_word(Side side) noexcept;
    void finish_sending(Side side) noexcept;
    void keep_backend_session() noexcept;
    void on_moved(Side from, std::size_t bytes) noexcept;
    void count_bytes(Side from, std::size_t bytes) noexcept;
    template <typename F>
    void begin(F coroutine);
    void on_flow_ended(Side from, StepKind how) noexcept;
    void on_end_of_stream(Side from) noexcept;
    void on_side_failed(Side side) noexcept;

    [[nodiscard]] bool has_failed(Side side) noexcept;
    void end_pauses(TimePoint now) noexcept;

    void check_relay_deadlines(TimePoint now) noexcept;
    void file_relay_deadline() noexcept;
    void check_peers(TimePoint now) noexcept;
    void on_milestone(TimePoint now) noexcept;
    void set_keepalive() noexcept;
    void judge_success() noexcept;
    void judge_failure(balancer::Failure how) noexcept;
    void judge_attempt(AttemptError error) noexcept;
    void judge_lost_backend(CloseReason reason) noexcept;
    void judge_nothing() noexcept;
    void fail_slowly(Side failed, CloseReason reason, int error) noexcept;
    void continue_flush(TimePoint now) noexcept;
    void end_flush() noexcept;

    void close(CloseReason reason, ClosedBy by, int error) noexcept;
    void close_sockets() noexcept;
    void wake_coroutines() noexcept;
    void finish() noexcept;
    void count_end() noexcept;
    [[nodiscard]] LogRecord make_record(LogRecord::Event event) const noexcept;
    void remember(const LogRecord& record) noexcept;
    /// Where this worker counts for its backend, which it has.
    [[nodiscard]] metrics::BackendCells& backend_cells() const noexcept;

    [[nodiscard]] net::Socket& socket(Side side) noexcept {
        return side == Side::client ? client_socket_ : backend_socket_;
    }
    [[nodiscard]] Flow& flow(Side from) noexcept {
        return from == Side::client ? to_backend_ : to_client_;
    }

    [[nodiscard]] Pace& pace(Side from) noexcept {
        return from == Side::client ? extras_->pacing->to_backend : extras_->pacing->to_client;
    }

    // Which slots it holds, each of a limiter that it reaches anyway.
    struct Slots {
        bool process : 1 = false;
        bool listener : 1 = false;
        bool upstream : 1 = false;
        bool backend : 1 = false;
    };
    void give_slots_back() noexcept;
    /// The connection to the backend was closed.
    void release_source_place() noexcept;

    // What few sessions ever need.
    struct Extras : FromFreeList {
        ReasonSet would_refuse;
        Duration queued{};  // waiting for a slot or a backend
        std::vector<Attempt> failed_attempts;
        DeadPeerJudge client_judge;
        DeadPeerJudge backend_judge;
        TimePoint flush_ends = no_deadline;
        std::unique_ptr<Pacing> pacing;  // null: no rate is limited
        std::unique_ptr<Front> front;
    };
    [[nodiscard]] Extras& extras() {
        if (!extras_) extras_ = std::make_unique<Extras>();
        return *extras_;
    }

    Worker& worker_;
    ListenerPtr listener_;
    UpstreamPtr upstream_;  // null = nobody serves this client, or not known yet
    balancer::Backend* backend_ = nullptr;  // kept alive by upstream_
    net::Socket client_socket_;
    net::Socket backend_socket_;
    Flow to_backend_;
    Flow to_client_;
    RelayTimes times_;
    TimePoint accepted_at_;
    TimePoint ready_at_{};
    WallTime accepted_wall_;
    std::uint64_t sequence_;
    std::unique_ptr<Extras> extras_;
    CompactEndpoint peer_;
    CompactEndpoint local_;
    CompactEndpoint backend_local_;
    std::uint32_t connect_us_ = unknown_time;
    std::uint32_t first_byte_us_ = unknown_time;
    balancer::CircuitPass pass_;
    balancer::SourcePermit::Handle source_;
    std::uint16_t error_ = 0;
    std::uint16_t flush_wait_ms_ = 0;
    SessionState state_ = SessionState::connecting;
    CloseReason reason_ = CloseReason::none;
    ClosedBy closed_by_ : 4 = ClosedBy::none;
    Activity waiting_ : 4 = Activity::connecting;  // while it is connecting: what for
    Side flushing_to_ = Side::client;
    std::uint8_t coroutines_ = 0;
    Slots slots_;
    SourceAddresses::Place source_place_ = SourceAddresses::nowhere;
    bool linked_ : 1 = false;
    bool warm_ : 1 = false;
    bool paced_ : 1 = false;  // extras_->pacing is there
    bool secured_ : 1 = false;  // TLS on one side at least
    bool terminates_ : 1 = false;
    HeaderRule header_ : 2 = HeaderRule::none;
    bool judged_ = true;  // the backend's breaker knows how the connection went, or need not
    Role role_;
};
static_assert(sizeof(Session) <= 512);

}  // namespace penstock::proxy
