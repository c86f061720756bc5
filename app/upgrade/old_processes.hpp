#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/array.hpp>

#include "admin/model.hpp"
#include "app/ledger/gone_ledger.hpp"
#include "app/upgrade/messages.hpp"
#include "app/upgrade/old_process.hpp"
#include "base/log.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app::upgrade {

/// The processes that this one has taken over from, and those before them, as long as they have
/// sessions: each tells once a second what it has counted and has. What they have counted stays
/// counted when they end, so that no counter ever goes back. Control thread.
class OldProcesses {
public:
    /// Both must outlive the object.
    OldProcesses(boost::asio::io_context& context, Logger& log) : context_(context), log_(log) {}
    ~OldProcesses() { stop(); }
    OldProcesses(const OldProcesses&) = delete;
    OldProcesses& operator=(const OldProcesses&) = delete;

    /// What processes have counted that had ended before this one started.
    void add_gone(const Ledger& ledger) { gone_.add(ledger); }
    [[nodiscard]] bool has_gone() const noexcept { return !gone_.empty(); }
    /// Now and then. `own`: what this process has counted, and so the names that it knows.
    void forget_gone(Ledger own, TimePoint now);
    /// One that drains; `last`: what it said last.
    void add(OlderProcess last, net::UniqueFd channel);
    [[nodiscard]] bool empty() const noexcept { return old_.empty(); }
    /// Is called each time when the last of them has ended.
    void on_empty(std::function<void()> action) { on_empty_ = std::move(action); }
    /// No more of it: another process listens to them from now on, or nobody.
    void stop();

    /// What all of them, and those that have ended, have counted.
    [[nodiscard]] Ledger ledger() const;
    /// What all of them have now.
    [[nodiscard]] Gauges gauges() const;
    /// Resident bytes of all of them.
    [[nodiscard]] std::uint64_t memory() const;
    /// The newest first.
    [[nodiscard]] std::vector<admin::OldProcess> views() const;
    /// Those that have sessions.
    [[nodiscard]] std::size_t with_sessions() const;
    /// Their sessions, as objects of the API; one that does not answer in three seconds is left
    /// out. All are asked at once, as below.
    [[nodiscard]] boost::asio::awaitable<boost::json::array> sessions(
        const proxy::SessionFilter& filter);
    [[nodiscard]] boost::asio::awaitable<std::vector<OrderReply>> order_all(Order order);
    /// Several, which none of later calls overtakes; the replies to each.
    [[nodiscard]] boost::asio::awaitable<std::vector<std::vector<OrderReply>>> order_all_of(
        std::vector<Order> orders);
    /// By the number of the process.
    [[nodiscard]] boost::asio::awaitable<std::vector<OrderReply>> order_each(
        std::map<int, Order> orders);
    /// What those have now that take no orders.
    [[nodiscard]] Gauges gauges_out_of_reach() const;

    /// For the process that takes over from this one: the counts of those that have ended, and
    /// those that drain, with a channel to each. Nothing is received here any more until
    /// take_back(), or stop(). Waits for the end of what each is saying, which is within a second.
    struct Handover {
        Ledger gone{};
        std::vector<OlderProcess> older{};
        std::vector<net::UniqueFd> channels{};
    };
    [[nodiscard]] boost::asio::awaitable<Handover> hand_over();
    /// The other process has not become anything.
    void take_back();

private:
    using OldPtr = std::shared_ptr<OldProcess>;

    static boost::asio::awaitable<OrderReply> reply_of(OldPtr old, OldProcess::QuestionPtr asked);
    void listen(const OldPtr& old);
    boost::asio::awaitable<void> hear(OldPtr old);
    void end(const OldPtr& old);
    [[nodiscard]] bool is_known(const OldPtr& old) const;

    boost::asio::io_context& context_;
    Logger& log_;
    std::list<OldPtr> old_;  // the newest first
    GoneLedger gone_;
    std::function<void()> on_empty_;
    bool stopped_ = false;
};

}  // namespace penstock::app::upgrade
