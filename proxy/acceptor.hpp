#pragma once

#include <cstdint>

#include "base/timing_wheel.hpp"
#include "net/poller.hpp"
#include "net/task.hpp"
#include "net/unique_fd.hpp"
#include "proxy/context.hpp"
#include "proxy/session.hpp"

namespace penstock::proxy {

class Worker;

/// Accepts on one listening socket of one worker. Level-triggered: it takes as many connections a
/// turn as recent turns had, without a failing accept4() in the usual case. Without descriptors, or
/// at a limit of the whole listener or process (`on_limit = "wait"`), it pauses; whoever frees one
/// wakes it, or the next token of `accept_rate` does. Waiting for tokens keeps the rate only as far
/// as its burst covers what falls due in one tick of the wheel.
class Acceptor final : public net::Watch, public net::CoroutineOwner, private Timer {
public:
    Acceptor(Worker& worker, ListenerPtr listener, net::UniqueFd socket);
    ~Acceptor();

    /// Registers with the poller; on failure nothing is accepted.
    [[nodiscard]] std::error_code start();
    /// Accepts again after a pause, if there is room.
    void resume();
    /// Takes what waits in the kernel's queue (refusing it where there is no room), then closes.
    void stop();
    /// Closes; what waits in the queue is for another process that has the socket too.
    void let_go();
    /// Who comes from now on comes to this listener.
    void serve(ListenerPtr listener);
    /// After stop() or let_go(): nothing refers to it any more.
    [[nodiscard]] bool ended() const noexcept { return !running_; }

    [[nodiscard]] ListenerContext& listener() noexcept { return *listener_; }

    void on_coroutine_failure(std::exception_ptr error) noexcept override;

private:
    enum class Outcome : std::uint8_t { accepted, none, paused };

    static net::Root run(Acceptor& self);
    void accept_some();
    Outcome accept_one();
    Outcome on_accept_error(int error);
    void admit(Accepted accepted, Room room);
    [[nodiscard]] Admission judge(Accepted& fresh, Room room);
    void refuse(Accepted accepted, CloseReason reason);
    void note(GateLog::Event event, CloseReason reason, const CompactEndpoint& peer);
    [[nodiscard]] bool waits_at_limits() const noexcept;
    void give_back(Room room);
    void stop_watching();
    void close() noexcept;
    /// Until a slot or a descriptor is free.
    void pause();
    void pause_until(TimePoint until);
    void on_timer(TimePoint now) override;

    [[nodiscard]] CompactEndpoint local_endpoint_of(int fd) const noexcept;

    Worker& worker_;
    ListenerPtr listener_;
    CompactEndpoint bound_;  // empty if that is every address of the machine
    std::uint32_t batch_ = 1;
    Duration pause_ = Duration::zero();
    bool paused_ = false;
    bool stopping_ = false;
    bool running_ = false;  // its coroutine
};

}  // namespace penstock::proxy
