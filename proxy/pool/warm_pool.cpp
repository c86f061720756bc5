#include "proxy/pool/warm_pool.hpp"

#include <algorithm>
#include <cassert>
#include <unordered_map>
#include <utility>

#include "proxy/attempt.hpp"
#include "proxy/upstream.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

// A backend that is new or came back is not met by all of the pool at once.
constexpr std::size_t most_opening = 8;
// While slots are taken: freed ones go to sessions first, the pool looks again later.
constexpr Duration without_slot = std::chrono::seconds(1);
// One that ends so soon after it was opened failed: the backend does not want idle connections.
constexpr Duration shortest_life = std::chrono::seconds(1);
// They are not replaced all at once: each is kept for a random part of max_age, at least this.
constexpr double shortest_part = 0.75;

}  // namespace

WarmPool::WarmPool(Worker& worker, UpstreamContext& upstream)
    : worker_(worker), upstream_(upstream), ready_(upstream.set()->size()) {
    backends_.reserve(ready_.size());
    for (std::size_t i = 0; i < ready_.size(); ++i) backends_.push_back(make(i));
}

WarmPool::PerBackend WarmPool::make(std::size_t backend) const {
    const config::Pool& pool = upstream_.settings().pool;
    const std::size_t workers = worker_.shared().loads.size();
    const std::size_t most = std::max(pool.min_idle, pool.max_idle);
    return PerBackend(
        PoolSizer(pool_share(pool.min_idle, worker_.index(), workers, backend),
                  pool_share(static_cast<std::uint32_t>(most), worker_.index(), workers, backend)));
}

void WarmPool::follow(const balancer::BackendSet& before) {
    std::unordered_map<const balancer::Backend*, std::uint32_t> old_places;
    for (std::uint32_t i = 0; i < before.size(); ++i) old_places.emplace(&before.backend(i), i);
    const balancer::BackendSet& now = *upstream_.set();
    std::vector<PerBackend> followers;
    followers.reserve(now.size());
    balancer::Bitmap ready(now.size());
    for (std::uint32_t i = 0; i < now.size(); ++i) {
        const auto old = old_places.find(&now.backend(i));
        if (old == old_places.end()) {
            followers.push_back(make(i));
            continue;
        }
        followers.push_back(std::move(backends_[old->second]));
        for (List* list : {&followers.back().opening, &followers.back().idle})
            for (WarmConnection& connection : *list) connection.set_backend(i);
        if (!followers.back().idle.empty()) ready.set(i);
    }
    for (auto& left : backends_) close_all(left);  // empty where the connections moved
    backends_ = std::move(followers);
    ready_ = std::move(ready);
}

WarmPool::~WarmPool() { assert(!open_); }

void WarmPool::start() {
    open_ = true;
    refill();
}

void WarmPool::close() noexcept {
    open_ = false;
    worker_.loop().wheel().cancel(*this);
    for (auto& backend : backends_) close_all(backend);
}

bool WarmPool::take(std::uint32_t backend, net::Socket& to, ConnectionSlots& slots,
                    SecuredConnection& secured) {
    auto& idle = backends_[backend].idle;
    bool taken = false;
    while (!taken && !idle.empty()) {
        WarmConnection& oldest = idle.front();
        forget(oldest);
        taken = oldest.hand_over(to, slots, secured);
        if (taken) continue;
        cells(backend).warm_was(metrics::WarmResult::dead).add();
        worker_.call_waiting(upstream_);  // its slot
    }
    if (taken) {
        backends_[backend].pause.on_success();
        upstream_.cells.warm_used.add();
    }
    if (open_) refill(backend, worker_.loop().now());
    return taken;
}

void WarmPool::on_arrival(std::uint32_t backend) noexcept {
    backends_[backend].sizer.on_arrival(worker_.loop().now());
}

bool WarmPool::give_up_one() noexcept {
    const bool any_helps = upstream_.shared->connections.full();
    for (std::uint32_t i = 0; i < backends_.size(); ++i) {
        PerBackend& pool = backends_[i];
        List& list = pool.opening.empty() ? pool.idle : pool.opening;
        if (list.empty() || !(any_helps || upstream_.set()->backend(i).full())) continue;
        drop(list.front());
        upstream_.cells.warm_given_up.add();
        look_again_at(worker_.loop().now() + without_slot);
        return true;
    }
    return false;
}

void WarmPool::on_availability() {
    for (std::uint32_t i = 0; i < backends_.size(); ++i)
        if (!upstream_.available(i)) close_all(backends_[i]);
    if (open_) refill();
}

void WarmPool::on_opened(WarmConnection& connection, const AttemptResult& result, Duration took) {
    const TimePoint now = worker_.loop().now();
    const std::uint32_t backend = connection.backend();
    PerBackend& pool = backends_[backend];
    if (!result.ok()) {
        upstream_.cells.warm_failed.add();
        cells(backend).failed_by(result.error).add();
        const auto failure =
            failure_of(result.error, upstream_.settings().circuit_breaker.early_reset_counts);
        if (failure && !result.is_ours)
            worker_.report_backend_failure(upstream_, upstream_.set()->backend(backend),
                                           connection.pass(), *failure);
        drop(connection);
        pool.pause.on_failure(now, worker_.random());
        look_again_at(pool.pause.not_before());
        return;
    }
    pool.sizer.on_opened(took);
    cells(backend).established.add();
    cells(backend).connect.record(whole_us(took));
    pool.opening.erase(pool.opening.iterator_to(connection));
    pool.idle.push_back(connection);
    ready_.set(backend);
    const double part = shortest_part + worker_.random().unit() * (1 - shortest_part);
    const auto age = static_cast<double>(upstream_.settings().pool.max_age.count()) * part;
    connection.keep_until(deadline_after(now, Duration(static_cast<Duration::rep>(age))));
    // A slot for connecting is free again; and who began to wait meanwhile needs this one's.
    worker_.call_waiting(upstream_);
    if (upstream_.shared->anybody_waits()) give_up_one();
    refill(backend, now);
}

void WarmPool::on_ended(WarmConnection& connection) {
    const TimePoint now = worker_.loop().now();
    PerBackend& pool = backends_[connection.backend()];
    if (now - connection.opened_at() < shortest_life) pool.pause.on_failure(now, worker_.random());
    const std::uint32_t backend = connection.backend();
    upstream_.cells.warm_failed.add();
    cells(backend).warm_was(metrics::WarmResult::dead).add();
    drop(connection);
    refill(backend, now);
}

void WarmPool::on_aged(WarmConnection& connection) {
    const std::uint32_t backend = connection.backend();
    backends_[backend].pause.on_success();
    cells(backend).warm_was(metrics::WarmResult::expired).add();
    drop(connection);
    refill(backend, worker_.loop().now());
}

void WarmPool::on_failure(WarmConnection& connection, std::exception_ptr error) noexcept {
    worker_.report_failure(std::move(error));
    drop(connection);
    look_again_at(worker_.loop().now() + without_slot);
}

void WarmPool::on_timer(TimePoint) {
    look_again_ = no_deadline;
    refill();
}

metrics::BackendCells& WarmPool::cells(std::uint32_t backend) const noexcept {
    return upstream_.set()->backend(backend).cells(worker_.index());
}

void WarmPool::refill() {
    const TimePoint now = worker_.loop().now();
    for (std::uint32_t i = 0; i < backends_.size(); ++i) refill(i, now);
}

void WarmPool::refill(std::uint32_t backend, TimePoint now) {
    if (!open_ || !upstream_.available(backend)) return;
    PerBackend& pool = backends_[backend];
    const std::size_t target = pool.sizer.target(now);
    while (pool.idle.size() + pool.opening.size() < target && pool.opening.size() < most_opening) {
        if (now < pool.pause.not_before()) return look_again_at(pool.pause.not_before());
        if (!open_one(backend)) return look_again_at(now + without_slot);
    }
}

bool WarmPool::open_one(std::uint32_t backend) {
    UpstreamShared& shared = *upstream_.shared;
    balancer::Backend& to = upstream_.set()->backend(backend);
    // A backend that is on trial is left to its trials.
    if (shared.occupied() || to.circuit().state() != balancer::CircuitState::closed) return false;
    ConnectionSlots slots;
    balancer::Permit connecting;
    slots.upstream = shared.connections.try_acquire();
    if (slots.upstream) slots.backend = to.slots().try_acquire();
    if (slots.backend) connecting = to.connecting().try_acquire();
    if (!connecting) {
        slots = {};
        worker_.call_waiting(upstream_);  // somebody may have seen these slots taken
        return false;
    }
    auto* fresh = new WarmConnection(*this, worker_.loop(), backend, to.circuit().observe(),
                                     std::move(slots), std::move(connecting));
    backends_[backend].opening.push_back(*fresh);
    shared.warm.add(worker_.index());
    fresh->open(to.address(), upstream_.settings().connect_timeout);
    // Who began to wait before it could see this one: it goes first.
    if (shared.anybody_waits()) give_up_one();
    return true;
}

void WarmPool::forget(WarmConnection& connection) noexcept {
    const std::uint32_t backend = connection.backend();
    PerBackend& pool = backends_[backend];
    List& list = connection.is_idle() ? pool.idle : pool.opening;
    list.erase(list.iterator_to(connection));
    if (pool.idle.empty()) ready_.reset(backend);
    upstream_.shared->warm.remove(worker_.index());
}

void WarmPool::drop(WarmConnection& connection) noexcept {
    forget(connection);
    connection.close();
    worker_.call_waiting(upstream_);
}

void WarmPool::close_all(PerBackend& pool) noexcept {
    while (!pool.opening.empty()) drop(pool.opening.front());
    while (!pool.idle.empty()) drop(pool.idle.front());
}

void WarmPool::look_again_at(TimePoint when) noexcept {
    if (!open_ || when >= look_again_) return;
    look_again_ = when;
    worker_.loop().wheel().file(*this, when);
}

}  // namespace penstock::proxy
