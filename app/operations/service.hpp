#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "admin/operations.hpp"
#include "app/find_named.hpp"
#include "app/helper_thread.hpp"
#include "app/limits.hpp"
#include "app/monitors.hpp"
#include "app/operations/backend_book.hpp"
#include "app/operations/ending_plan.hpp"
#include "app/operations/memory_watch.hpp"
#include "app/operations/order_taker.hpp"
#include "app/operations/rates.hpp"
#include "app/operations/watchdog.hpp"
#include "app/operations/worker_sessions.hpp"
#include "app/sandbox/sandbox.hpp"
#include "app/server.hpp"
#include "app/tls/tls_files.hpp"
#include "app/upgrade/messages.hpp"
#include "balancer/rebalance.hpp"
#include "net/logger.hpp"

namespace penstock::app {

class Reloader;
namespace upgrade {
class OldProcesses;
class Upgrader;
}  // namespace upgrade

/// The running proxy, for its operator: shows it, and does what is asked. Remembers who changed
/// what. Control thread.
class Service final : public admin::Operations {
public:
    /// References must outlive the object.
    struct Parts {
        boost::asio::io_context& context;
        Server& server;
        Monitors& monitors;
        net::ProcessLog& log;
    };
    Service(const Parts& parts, ConnectionLimit limit);

    /// Once a second from now on: rates, signs of life.
    void start();
    /// No worker is asked any more.
    void stop();
    /// After stop(): from now on no other thread posts anything for it.
    bool join(TimePoint deadline = no_deadline) { return writer_.end(deadline); }
    /// Every worker's loop turns, as far as is known.
    [[nodiscard]] bool all_workers_answer() const;
    /// The graceful stop has begun: nobody shall come here any more.
    void set_stopping() { stopping_ = true; }
    /// Who else changes the proxy, or has something to show; they must outlive the object.
    struct Peers {
        Reloader* reloader = nullptr;           // plans and reloads are its work
        upgrade::Upgrader* upgrader = nullptr;  // upgrades its; null = there are none
        upgrade::OldProcesses* old = nullptr;   // whose figures are part of every answer
        const TlsFiles* tls_files = nullptr;
        const sandbox::Sandbox* sandbox = nullptr;
    };
    /// Before start().
    void meet(const Peers& peers) { peers_ = peers; }
    /// Weights that operators have set of splits, by listener: those that go on under `next`, which
    /// is about to be the server's.
    using Splits = std::map<std::string, std::vector<std::uint32_t>>;
    [[nodiscard]] Splits splits_under(const config::Config& next) const;
    /// The server has another configuration than before: what was changed by operators goes on,
    /// unless the file has changed that very thing.
    void follow_configuration(const config::Config& before, ConnectionLimit limit);
    /// What this process alone has counted and has.
    [[nodiscard]] upgrade::Figures figures() const;
    /// What operators have changed, for the process that takes over.
    void fill_manifest(upgrade::Manifest& manifest) const;
    /// The same, in that process; overrides of backends are up to the monitors.
    void take_over(const upgrade::Manifest& manifest);
    /// Does what the process that has taken over from this one says.
    [[nodiscard]] boost::asio::awaitable<upgrade::OrderAnswer> obey(upgrade::Order order) {
        return order_taker_.obey(std::move(order));
    }
    /// What the processes before this one have now, and what of it is in those that do not obey.
    struct OldGauges {
        Gauges all{};
        Gauges out_of_reach{};
    };
    [[nodiscard]] OldGauges old_gauges() const;
    /// The log has been told of it.
    void record_certificates(const std::string& text);
    void record_reload(bool ok, const std::string& text, const std::string& actor);
    void record_upgrade(bool ok, const std::string& text, const std::string& actor);
    /// The upstream has other backends than before.
    void follow(const std::string& upstream);
    void on_limit(const std::string& listener, CloseReason reason, const std::string& text);
    void on_health_event(const std::string& upstream, const health::Event& event);

    [[nodiscard]] admin::Overview overview() override;
    [[nodiscard]] boost::asio::awaitable<std::string> shown(Show show) override;
    [[nodiscard]] boost::asio::awaitable<std::vector<proxy::SessionInfo>> sessions(
        proxy::SessionFilter filter) override;
    [[nodiscard]] boost::asio::awaitable<boost::json::array> old_sessions(
        proxy::SessionFilter filter) override;
    [[nodiscard]] boost::asio::awaitable<std::vector<proxy::ClosedLine>> closes(
        proxy::ClosedFilter filter) override;
    [[nodiscard]] std::string configuration() override;
    [[nodiscard]] admin::Outcome<admin::Explanation> explain(
        const admin::ExplainQuery& query) override;
    [[nodiscard]] admin::EventRing& events() override { return events_; }

    boost::asio::awaitable<admin::Outcome<admin::Done>> change_backend(std::string upstream,
                                                                       std::string backend,
                                                                       admin::BackendChange change,
                                                                       std::string actor) override;
    boost::asio::awaitable<admin::Outcome<void>> kill_session(proxy::ConnectionId id,
                                                              std::string actor) override;
    boost::asio::awaitable<admin::Outcome<admin::Ending>> kill_backend(std::string upstream,
                                                                       std::string backend,
                                                                       admin::KillOrder order,
                                                                       std::string actor) override;
    boost::asio::awaitable<admin::Outcome<admin::Ending>> rebalance(std::string upstream,
                                                                    admin::RebalanceOrder order,
                                                                    std::string actor) override;
    boost::asio::awaitable<admin::Outcome<admin::Done>> pause(std::string upstream, Duration max,
                                                              std::string actor) override;
    boost::asio::awaitable<admin::Outcome<admin::Done>> resume(std::string upstream,
                                                               std::string actor) override;
    admin::Outcome<void> split(const std::string& listener,
                               const std::map<std::string, std::uint32_t>& weights,
                               const std::string& actor) override;
    admin::Outcome<void> set_draining(const std::string& listener, bool draining,
                                      const std::string& actor) override;
    boost::asio::awaitable<admin::Outcome<admin::Plan>> plan(admin::PlanRequest request) override;
    boost::asio::awaitable<admin::Outcome<admin::Reloaded>> reload(admin::ReloadRequest request,
                                                                   std::string actor) override;
    boost::asio::awaitable<admin::Outcome<admin::Upgraded>> upgrade(std::string actor) override;

private:
    struct Pause {
        explicit Pause(boost::asio::io_context& context) : timer(context) {}
        boost::asio::steady_timer timer;
        TimePoint ends{};
        std::string by{};
    };
    struct SplitChange {
        std::vector<std::uint32_t> weights;  // in the order of the split
        std::string by;
    };

    void add_old_processes(admin::Overview& overview) const;
    void add_destinations(admin::Overview& overview) const;
    void add_certificates(admin::Overview& overview) const;

    // What is shown (service_overview.cpp).
    [[nodiscard]] admin::ProcessView process_view(TimePoint now) const;
    [[nodiscard]] admin::ListenerView listener_view(std::size_t listener) const;
    [[nodiscard]] admin::UpstreamView upstream_view(std::size_t upstream, TimePoint now) const;
    [[nodiscard]] std::vector<admin::BackendView> departed_backends(
        const std::string& upstream) const;
    [[nodiscard]] admin::BackendView backend_view(
        std::size_t upstream, const health::UpstreamMonitor::BackendStatus& status,
        TimePoint now) const;
    void add_totals(admin::BackendView& view, const std::string& upstream) const;

    void beat();
    void sample(TimePoint now, double elapsed_s);
    void follow_backends(TimePoint now);
    /// Names in the counts of processes that have ended, which nobody knows any more.
    void forget_gone(TimePoint now);
    void follow_backends_of(std::size_t upstream, TimePoint now);
    [[nodiscard]] std::optional<std::size_t> find_upstream(const std::string& name) const {
        return index_of_named(config().upstreams, name);
    }
    [[nodiscard]] std::optional<std::size_t> find_listener(const std::string& name) const {
        return index_of_named(config().listeners, name);
    }
    [[nodiscard]] std::shared_ptr<const balancer::Backend> find_backend(
        std::size_t upstream, const std::string& name) const;
    /// In the log and among the events.
    void record(admin::Event event);
    /// Among the events alone: whoever it happened to has told the log.
    void record_told(admin::Event event);
    /// What is to last cannot be changed while another process takes over: it would not know.
    [[nodiscard]] std::optional<admin::Refusal> why_no_change() const;
    /// Nothing = that is draining, by an operator.
    [[nodiscard]] std::optional<admin::Refusal> why_no_undrain(const std::string& listener) const;
    admin::Outcome<void> change_here(const std::string& upstream, const std::string& backend,
                                     const admin::BackendChange& change, const std::string& actor);
    void begin_pause(std::size_t upstream, Duration max, const std::string& actor);
    bool end_pause(const std::string& name, const std::string& actor);
    void rebalance_after(const std::string& upstream);
    /// `old` is what old processes have answered to count_sessions.
    boost::asio::awaitable<admin::Outcome<admin::Ending>> rebalance_with(
        std::string upstream, admin::RebalanceOrder order, std::vector<upgrade::OrderReply> old,
        std::string actor);

    // What is said to the processes before this one (service_orders.cpp).
    using Replies = std::vector<upgrade::OrderReply>;
    boost::asio::awaitable<Replies> order_old(upgrade::Order order);
    /// Takes off `ending` what does not end after all.
    boost::asio::awaitable<void> end_old(std::map<int, upgrade::Order> orders,
                                         admin::Ending& ending);
    /// The configuration has changed.
    boost::asio::awaitable<void> tell_old(std::vector<upgrade::Order> orders);
    /// Nothing = closing sessions there spreads them anew.
    [[nodiscard]] std::optional<admin::Refusal> why_not_rebalance(std::size_t upstream) const;
    [[nodiscard]] std::vector<balancer::RebalanceBackend> competitors(
        std::size_t upstream, const std::vector<EndingWish>& wishes, const Replies& old) const;
    [[nodiscard]] const config::Config& config() const noexcept { return parts_.server.config(); }

    Parts parts_;
    Peers peers_;
    ConnectionLimit limit_;
    TimePoint started_;
    WallTime started_wall_;
    admin::EventRing events_;
    Watchdog watchdog_;
    MemoryWatch memory_;
    WorkerSessions sessions_;
    OrderTaker order_taker_;
    BackendBook backends_;
    std::vector<WorkerPace> worker_paces_;
    std::map<std::string, ListenerPace> listener_paces_;
    boost::asio::steady_timer timer_;
    TimePoint last_sample_{};
    TimePoint last_forgetting_{};
    std::map<std::string, std::unique_ptr<Pause>> pauses_;  // by upstream
    std::map<std::string, SplitChange> splits_;  // by listener
    std::set<std::string> rebalancing_;  // upstreams whose sessions are about to move
    std::set<std::string> draining_listeners_;
    int took_over_from_ = 0;  // pid, 0 = nobody
    bool draining_ = false;
    bool stopping_ = false;
    bool stopped_ = false;
    HelperThread writer_;  // of what shown() gives
};

}  // namespace penstock::app
