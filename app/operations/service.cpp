#include "app/operations/service.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "app/operations/events.hpp"
#include "app/upgrade/old_processes.hpp"
#include "config/print.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;

using asio::awaitable;

namespace {

constexpr Duration beat_interval = std::chrono::seconds(1);
constexpr Duration settle_before_rebalance = std::chrono::seconds(1);

void add_closes(std::vector<proxy::ClosedLine>& lines, const upgrade::OrderAnswer& answer) {
    for (const auto& entry : answer.closes) {
        const auto* pair = entry.if_array();
        if (pair == nullptr || pair->size() != 2 || !pair->front().is_int64() ||
            !pair->back().is_string())
            continue;
        const WallTime ended(WallTime::duration(pair->front().get_int64()));
        lines.push_back({ended, std::string(pair->back().get_string())});
    }
}

}  // namespace

Service::Service(const Parts& parts, ConnectionLimit limit)
    : parts_(parts),
      limit_(std::move(limit)),
      started_(SteadyClock().now()),
      started_wall_(wall_now()),
      watchdog_(parts.server, parts.log),
      memory_(
          parts.context, parts.server, parts.log,
          [this] { return peers_.old == nullptr ? 0 : peers_.old->memory(); },
          [this](proxy::MemoryPressure now, const std::string& text) {
              const bool overload = now == proxy::MemoryPressure::overload;
              record_told({.kind = "overload",
                           .from = overload ? "" : "overload",
                           .to = overload ? "overload" : "",
                           .detail = text});
          }),
      sessions_(parts.context, parts.server),
      order_taker_({parts.server, parts.monitors, sessions_,
                    [this](const std::string& upstream, Duration max, const std::string& by) {
                        const auto index = find_upstream(upstream);
                        if (index) begin_pause(*index, max, by);
                        return index.has_value();
                    },
                    [this](const std::string& upstream, const std::string& by) {
                        return end_pause(upstream, by);
                    }}),
      backends_([](const balancer::Backend& backend) { return proxy::backend_totals(backend); }),
      worker_paces_(parts.server.workers().size()),
      timer_(parts.context),
      last_sample_(started_) {
    follow_backends(started_);
}

void Service::start() {
    memory_.start();
    beat();
}

void Service::stop() {
    stopped_ = true;
    watchdog_.stop();
    memory_.stop();
    timer_.cancel();
    for (const auto& [upstream, pause] : pauses_) pause->timer.cancel();
}

bool Service::all_workers_answer() const {
    const TimePoint now = SteadyClock().now();
    for (std::size_t i = 0; i < parts_.server.workers().size(); ++i)
        if (watchdog_.stuck(i, now)) return false;
    return true;
}

void Service::beat() {
    if (stopped_) return;
    const TimePoint now = SteadyClock().now();
    if (parts_.server.running()) watchdog_.beat(now);
    sample(now, std::chrono::duration<double>(now - last_sample_).count());
    last_sample_ = now;
    forget_gone(now);
    timer_.expires_at(net::to_asio(now + beat_interval));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) beat();
    });
}

void Service::sample(TimePoint now, double elapsed_s) {
    const auto& workers = parts_.server.workers();
    for (std::size_t i = 0; i < workers.size(); ++i) {
        metrics::WorkerTotals totals;
        totals += workers[i]->cells();
        worker_paces_[i].busy_us.sample(totals.busy_us, elapsed_s);
        worker_paces_[i].lag.sample(totals.lag, elapsed_s);
    }
    for (std::size_t i = 0; i < config().listeners.size(); ++i) {
        auto& pace = listener_paces_[config().listeners[i].name];
        const auto totals = proxy::listener_figures(*parts_.server.listeners()[i]->account).totals;
        pace.accepted.sample(totals.accepted, elapsed_s);
        pace.bytes_to_backend.sample(totals.bytes_to_backend, elapsed_s);
        pace.bytes_to_client.sample(totals.bytes_to_client, elapsed_s);
    }
    std::erase_if(listener_paces_, [this](const auto& pace) { return !find_listener(pace.first); });
    follow_backends(now);
    backends_.sample(elapsed_s);
    parts_.server.forget_departed(now);
}

void Service::follow_backends(TimePoint now) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < config().upstreams.size(); ++i) {
        follow_backends_of(i, now);
        names.insert(config().upstreams[i].name);
    }
    backends_.follow_only(names, now);
}

void Service::follow_backends_of(std::size_t upstream, TimePoint now) {
    std::vector<BackendBook::BackendPtr> present;
    for (auto& status : parts_.monitors.of(upstream).backends())
        present.push_back(std::move(status.backend));
    backends_.follow(config().upstreams[upstream].name, present, now);
}

void Service::follow(const std::string& upstream) {
    if (const auto index = find_upstream(upstream)) follow_backends_of(*index, SteadyClock().now());
}

void Service::on_limit(const std::string& listener, CloseReason reason, const std::string& text) {
    record_told({.kind = "limit",
                 .listener = listener,
                 .to = std::string(name_of(reason)),
                 .detail = text});
}

void Service::on_health_event(const std::string& upstream, const health::Event& event) {
    const auto index = find_upstream(upstream);
    if (!index) return;
    record_told(event_of(upstream, event));
    const auto& settings = config().upstreams[*index].rebalance;
    using enum health::EventKind;
    const bool recovered = event.kind == check_up || event.kind == circuit_closed;
    if ((recovered && settings.on_recovered) || (event.kind == backend_added && settings.on_added))
        rebalance_after(upstream);
}

// Backends often come back together: their upstream is looked at once, when the dust has settled.
void Service::rebalance_after(const std::string& upstream) {
    if (stopped_ || !rebalancing_.insert(upstream).second) return;
    const auto timer = std::make_shared<asio::steady_timer>(parts_.context);
    timer->expires_at(net::to_asio(SteadyClock().now() + settle_before_rebalance));
    timer->async_wait([this, timer, upstream](const boost::system::error_code& error) {
        rebalancing_.erase(upstream);
        if (error || stopped_) return;
        const auto index = find_upstream(upstream);
        if (!index) return;  // it has left
        const auto& settings = config().upstreams[*index].rebalance;
        asio::co_spawn(parts_.context,
                       // The old processes start their own.
                       rebalance_with(upstream,
                                      {.over = settings.over,
                                       .max_share = settings.max_share,
                                       .min_age = settings.min_age},
                                      Replies(), ""),
                       [](std::exception_ptr failure, const admin::Outcome<admin::Ending>&) {
                           net::rethrow_failure(std::move(failure));
                       });
    });
}

awaitable<std::vector<proxy::SessionInfo>> Service::sessions(proxy::SessionFilter filter) {
    return sessions_.live(std::move(filter));
}

awaitable<std::vector<proxy::ClosedLine>> Service::closes(proxy::ClosedFilter filter) {
    upgrade::Order order{
        .kind = upgrade::Order::Kind::closes, .upstream = filter.upstream, .limit = filter.limit};
    if (filter.reason != CloseReason::none) order.reason = name_of(filter.reason);
    const std::size_t limit = filter.limit;
    auto listing = sessions_.closed(std::move(filter));
    auto lines = co_await std::move(listing);
    auto ordering = order_old(std::move(order));
    const auto replies = co_await std::move(ordering);
    for (const auto& reply : replies)
        if (reply.answer) add_closes(lines, *reply.answer);
    std::ranges::stable_sort(lines, std::ranges::greater(), &proxy::ClosedLine::ended);
    if (lines.size() > limit) lines.resize(limit);
    co_return lines;
}

// Passwords and tokens stand in files; what a check sends may hold one nevertheless.
std::string Service::configuration() {
    config::Config shown = config();
    for (auto& upstream : shown.upstreams)
        if (auto& send = upstream.health_check.exchange.send; !send.empty()) send = "<not shown>";
    return config::print(shown);
}

std::shared_ptr<const balancer::Backend> Service::find_backend(std::size_t upstream,
                                                               const std::string& name) const {
    for (auto& status : parts_.monitors.of(upstream).backends())
        if (status.backend->name() == name) return status.backend;
    return nullptr;
}

void Service::record(admin::Event event) {
    std::string subject = "operator";
    if (!event.listener.empty()) subject = "listener " + event.listener;
    if (!event.upstream.empty()) subject = "upstream " + event.upstream;
    if (!event.backend.empty()) subject += ": backend " + event.backend;
    parts_.log.info("{}: {}{}{}", subject, event.detail, event.actor.empty() ? "" : ", by ",
                    event.actor);
    record_told(std::move(event));
}

void Service::record_told(admin::Event event) { events_.add(std::move(event), wall_now()); }

}  // namespace penstock::app
