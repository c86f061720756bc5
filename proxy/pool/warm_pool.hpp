#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "balancer/backend_set.hpp"
#include "balancer/bitmap.hpp"
#include "base/timing_wheel.hpp"
#include "net/socket.hpp"
#include "proxy/pool/pool_sizer.hpp"
#include "proxy/pool/reopen_pause.hpp"
#include "proxy/pool/warm_connection.hpp"

namespace penstock::proxy {

class Worker;
struct UpstreamContext;

/// One worker's connections that are open ahead of need, per backend of an upstream. Each takes up
/// a slot of its backend and of the upstream, as a session's connection does, so that together they
/// never exceed a limit; when sessions wait for slots, warm connections are given up. One worker.
class WarmPool final : private Timer {
public:
    WarmPool(Worker& worker, UpstreamContext& upstream);
    ~WarmPool() override;

    /// Opens what is missing, now and from now on.
    void start();
    /// Closes all of them, for good. Before the worker's loop ends.
    void close() noexcept;

    /// Backends that have an idle connection here. Valid as long as the pool.
    [[nodiscard]] const balancer::Bitmap& ready() const noexcept { return ready_; }
    /// Moves an idle connection of `backend` into `to`, which starts with both latches set, and its
    /// slots into `slots`; its TLS, if it has any, into `secured`. False if none was alive; then
    /// the bit in ready() is clear.
    [[nodiscard]] bool take(std::uint32_t backend, net::Socket& to, ConnectionSlots& slots,
                            SecuredConnection& secured);
    /// A client is served by `backend`, by a connection of the pool or another.
    void on_arrival(std::uint32_t backend) noexcept;
    /// Closes one that stands in the way of a session, if there is one; whoever waits is called.
    bool give_up_one() noexcept;
    /// The availability of backends has changed.
    void on_availability();
    /// The upstream has another set than `before`: connections to backends that stay are kept.
    void follow(const balancer::BackendSet& before);

    // For its connections.
    [[nodiscard]] UpstreamContext& upstream() noexcept { return upstream_; }
    void on_opened(WarmConnection& connection, const AttemptResult& result, Duration took);
    void on_ended(WarmConnection& connection);
    void on_aged(WarmConnection& connection);
    void on_failure(WarmConnection& connection, std::exception_ptr error) noexcept;

private:
    using List = boost::intrusive::list<WarmConnection>;
    struct PerBackend {
        List opening;
        List idle;  // the oldest first
        PoolSizer sizer;
        ReopenPause pause;
        explicit PerBackend(PoolSizer from) : sizer(from) {}
    };

    void on_timer(TimePoint now) override;
    void refill();
    /// True if there is nothing left to do for this backend for now.
    void refill(std::uint32_t backend, TimePoint now);
    [[nodiscard]] bool open_one(std::uint32_t backend);
    void forget(WarmConnection& connection) noexcept;
    /// forget(), close, and call whoever waits for the slot.
    void drop(WarmConnection& connection) noexcept;
    void close_all(PerBackend& pool) noexcept;
    [[nodiscard]] PerBackend make(std::size_t backend) const;
    /// Where this worker counts for it.
    [[nodiscard]] metrics::BackendCells& cells(std::uint32_t backend) const noexcept;
    void look_again_at(TimePoint when) noexcept;

    Worker& worker_;
    UpstreamContext& upstream_;
    std::vector<PerBackend> backends_;
    balancer::Bitmap ready_;
    TimePoint look_again_ = no_deadline;
    bool open_ = false;
};

}  // namespace penstock::proxy
