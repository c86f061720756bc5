#include "health/discovery/name_source.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "net/asio_words.hpp"

namespace penstock::health {

namespace {

constexpr Duration failure_pause = std::chrono::seconds(60);  // between messages
constexpr double spread = 0.05;

std::string describe(const NameSource::Spec& spec) {
    if (spec.is_listed) return fmt::format("name {}", spec.lookup.name);
    return fmt::format("{} {}", spec.lookup.type == config::DiscoveryType::srv ? "srv" : "dns",
                       spec.lookup.name);
}

Endpoint with_port(const Endpoint& address, std::uint16_t port) {
    const auto& bytes = address.ip().bytes();
    if (address.family() == AF_INET)
        return Endpoint::ipv4({bytes[0], bytes[1], bytes[2], bytes[3]}, port);
    return Endpoint::ipv6(bytes, port);
}

// Priorities are any numbers; tiers are their ranks.
std::map<std::uint16_t, std::uint32_t> tiers_of(const std::vector<net::DnsService>& records) {
    std::map<std::uint16_t, std::uint32_t> tiers;
    for (const auto& record : records) tiers.emplace(record.priority, 0);
    std::uint32_t rank = 0;
    for (auto& [priority, tier] : tiers) tier = rank++;
    return tiers;
}

}  // namespace

Duration belief(Duration ttl, const config::Discovery& lookup, double unit) noexcept {
    const Duration kept = std::clamp(ttl, lookup.min_ttl, lookup.max_ttl);
    const double more = static_cast<double>(kept.count()) * spread * unit;
    return kept + Duration(static_cast<Duration::rep>(more));
}

NameSource::NameSource(const SourceShared& shared, Spec spec)
    : shared_(shared),
      spec_(std::move(spec)),
      resolver_(shared.context, spec_.lookup.resolver),
      set_({.removal_delay = spec_.lookup.removal_delay,
            .on_empty = spec_.lookup.on_empty,
            .max_backends = spec_.lookup.max_backends}),
      retry_(spec_.lookup.retry.base, spec_.lookup.retry.max),
      random_(shared.seed ^ std::hash<std::string>()(spec_.lookup.name)),
      timer_(shared.context),
      failures_(failure_pause) {
    status_.what = describe(spec_);
    status_.is_dns = true;
    spec_.like.origin = Origin::name;
}

void NameSource::start() { look_up(); }

void NameSource::stop() {
    stopped_ = true;
    resolver_.stop();
    timer_.cancel();
}

void NameSource::look_up() {
    look_up_at_ = no_deadline;
    if (spec_.lookup.type == config::DiscoveryType::srv)
        return resolver_.find_services(spec_.lookup.name, [this](auto result) {
            if (result)
                on_services(*std::move(result));
            else
                on_failure(result.error());
        });
    resolver_.find_addresses(spec_.lookup.name, [this](auto result) {
        if (result)
            on_addresses(*std::move(result));
        else
            on_failure(result.error());
    });
}

std::optional<Discovered> NameSource::backend_at(Endpoint address, std::uint16_t port) {
    Discovered backend = spec_.like;
    backend.address = with_port(address, port);
    if (!shared_.filter.allows(backend.address)) {
        ++status_.ignored;
        return std::nullopt;
    }
    backend.name += backend.address.to_string();
    backend.host = spec_.lookup.name;
    return backend;
}

void NameSource::on_addresses(std::vector<net::DnsAddress> found) {
    std::vector<Discovered> backends;
    Duration ttl = found.empty() ? Duration::zero() : found.front().ttl;
    for (const auto& record : found) {
        ttl = std::min(ttl, record.ttl);
        const auto port = static_cast<std::uint16_t>(spec_.lookup.port);
        if (auto backend = backend_at(record.address, port)) backends.push_back(*backend);
    }
    on_answer(std::move(backends), ttl);
}

// A target that is "." says that there is no such service (RFC 2782).
void NameSource::on_services(std::vector<net::DnsService> records) {
    std::erase_if(records, [](const net::DnsService& record) { return record.target.empty(); });
    services_ = {};
    if (!records.empty()) services_.ttl = records.front().ttl;
    services_.records = std::move(records);
    look_up_next_target();
}

// One that does not exist has no addresses; one that cannot be looked up makes the whole answer a
// bad one.
void NameSource::look_up_next_target() {
    if (services_.next == services_.records.size())
        return on_answer(std::exchange(services_.found, {}), services_.ttl);
    resolver_.find_addresses(services_.records[services_.next].target, [this](auto result) {
        if (!result && !result.error().is_empty) return on_failure(result.error());
        const auto& record = services_.records[services_.next];
        const auto tiers = tiers_of(services_.records);
        if (result)
            for (const auto& address : *result) {
                services_.ttl = std::min(services_.ttl, address.ttl);
                auto backend = backend_at(address.address, record.port);
                if (!backend) continue;
                // Weight 0 is for servers that get hardly anything (RFC 2782); here it would be
                // nothing.
                backend->weight = std::max<std::uint32_t>(record.weight, 1);
                backend->tier = tiers.at(record.priority);
                backend->host = record.target;
                services_.found.push_back(*std::move(backend));
            }
        ++services_.next;
        look_up_next_target();
    });
}

void NameSource::on_failure(const net::DnsError& error) {
    if (error.is_empty) return on_answer({}, Duration::zero());
    const TimePoint now = SteadyClock().now();
    ++status_.failures;
    set_last_error(status_, error.text, shared_);
    settled_ = true;
    if (const auto left_out = failures_.admit(now))
        shared_.log.warn(
            "upstream {}: {}: {} ({} more failures since the last message); its {} "
            "backends stay as they are",
            shared_.upstream, status_.what, error.text, *left_out, set_.size());
    look_up_at_ = deadline_after(now, retry_.next(random_));
    arm();
    shared_.on_change();
}

void NameSource::on_answer(std::vector<Discovered> found, Duration ttl) {
    const TimePoint now = SteadyClock().now();
    ++status_.answers;
    if (found.empty() && set_.size() != 0 && status_.last_error.empty())
        shared_.log.warn("upstream {}: {}: the answer has no usable address; {}", shared_.upstream,
                         status_.what,
                         spec_.lookup.on_empty == config::OnEmpty::keep ? "the last ones are kept"
                                                                        : "the last ones drain");
    std::string error = found.empty() ? "no address" : "";
    status_.last_success = wall_now();
    settled_ = true;
    retry_.reset();
    const auto before = set_.list();
    set_.on_answer(std::move(found), now);
    status_.ignored += set_.left_out();
    log_change(before);
    set_last_error(status_, std::move(error), shared_);
    look_up_at_ = deadline_after(now, belief(ttl, spec_.lookup, random_.unit()));
    arm();
    shared_.on_change();
}

void NameSource::log_change(const std::vector<Discovered>& before) {
    const auto now = set_.list();
    status_.backends = now.size();
    if (now == before) return;
    const auto missing_in = [](const std::vector<Discovered>& others) {
        return [&others](const Discovered& one) {
            return std::ranges::find(others, one.name, &Discovered::name) == others.end();
        };
    };
    shared_.log.info("upstream {}: {}: {} backends, {} new, {} gone{}", shared_.upstream,
                     status_.what, now.size(), std::ranges::count_if(now, missing_in(before)),
                     std::ranges::count_if(before, missing_in(now)),
                     set_.left_out() == 0
                         ? ""
                         : fmt::format(", {} above max_backends left out", set_.left_out()));
}

void NameSource::on_check(std::string_view name, bool up) {
    if (!set_.on_check(name, up)) return;
    status_.backends = set_.size();
    shared_.log.info("upstream {}: {}: {} is down, and no longer named: gone", shared_.upstream,
                     status_.what, name);
    shared_.on_change();
}

void NameSource::arm() {
    const TimePoint next = std::min(look_up_at_, set_.next_timer());
    if (stopped_ || next == no_deadline) return;
    timer_.expires_at(net::to_asio(next));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error && !stopped_) on_timer();
    });
}

void NameSource::on_timer() {
    const TimePoint now = SteadyClock().now();
    const auto before = set_.list();
    set_.on_timer(now);
    log_change(before);
    if (look_up_at_ <= now) look_up();
    arm();
    if (set_.size() != before.size()) shared_.on_change();
}

}  // namespace penstock::health
