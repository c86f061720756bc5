#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "balancer/backend.hpp"
#include "base/clock.hpp"
#include "config/config.hpp"
#include "health/actions.hpp"
#include "health/probe/probe.hpp"
#include "health/upstream_health.hpp"

namespace penstock::health::testing {

inline constexpr TimePoint noon{std::chrono::hours(12)};

/// Where arithmetic of times may go wrong: a machine up for thirty years, and just before a
/// 32-bit count of milliseconds wraps around (signed and unsigned).
inline constexpr std::array odd_times{
    TimePoint(std::chrono::seconds(1'000'000'000)),
    TimePoint(std::chrono::milliseconds((std::int64_t{1} << 32) - 3)),
    TimePoint(std::chrono::milliseconds((std::int64_t{1} << 31) - 3))};

/// How far the values are from being uniform in [0, range); one outside counts as the last bin.
inline double chi_square(std::span<const Duration> values, Duration range, std::size_t bins) {
    std::vector<std::size_t> counts(bins);
    for (const Duration value : values) {
        const double part = static_cast<double>(value.count()) / static_cast<double>(range.count());
        const auto bin = static_cast<std::size_t>(std::max(part, 0.0) * static_cast<double>(bins));
        ++counts[std::min(bin, bins - 1)];
    }
    const double expected = static_cast<double>(values.size()) / static_cast<double>(bins);
    double sum = 0;
    for (const std::size_t n : counts) {
        const double off = static_cast<double>(n) - expected;
        sum += off * off / expected;
    }
    return sum;
}
/// Uniform values exceed it once in 10,000 cases (19 degrees of freedom). Seeds are fixed.
inline constexpr double chi_square_limit_20 = 50.8;

inline ProbeResult good(Role role = Role::none) { return {.ok = true, .role = role, .detail = ""}; }
inline ProbeResult bad(std::string detail = "connection refused", Role role = Role::none) {
    return {.ok = false, .role = role, .detail = std::move(detail)};
}

inline std::shared_ptr<balancer::Backend> backend(const std::string& name) {
    return std::make_shared<balancer::Backend>("db", name, *Endpoint::parse("127.0.0.1:1"));
}

/// An upstream's health with real backends, whose circuits it turns as the program would.
class Bench {
public:
    explicit Bench(config::Upstream settings, UpstreamHealth::Options options = {},
                   std::uint64_t seed = 1)
        : settings_(std::move(settings)), health_(settings_, options, seed) {}

    MemberId add(const std::string& name, NewMember member = {}) {
        if (!member.backend) member.backend = backend(name);
        auto shared = member.backend;
        if (settings_.circuit_breaker.enabled)
            shared->outcomes().set_alarm(settings_.circuit_breaker.consecutive_failures);
        const MemberId id = health_.add(std::move(member), now);
        if (backends_.size() <= id) backends_.resize(id + 1);
        backends_[id] = std::move(shared);
        take();
        return id;
    }
    /// A check that takes no time.
    void probe(MemberId id, const ProbeResult& result) {
        health_.on_probe_started(id, now);
        health_.on_probe(id, result, now);
        take();
    }
    void probe(MemberId id, const ProbeResult& result, int times) {
        for (int n = 0; n < times; ++n) probe(id, result);
    }
    /// Connections that fail or succeed, as far as the circuit lets any through.
    void connect(MemberId id, bool success, int times = 1) {
        auto& outcomes = backends_[id]->outcomes();
        for (int n = 0; n < times; ++n) {
            const auto pass = outcomes.circuit().try_pass();
            if (!pass) break;
            const bool alarm = success ? outcomes.succeeded(*pass)
                                       : outcomes.failed(*pass, balancer::Failure::refused);
            if (alarm) report(id);
        }
        report(id);
    }
    void report(MemberId id) {
        health_.on_outcomes(id, backends_[id]->outcomes().totals(), now);
        take();
    }
    void advance(Duration by) {
        now += by;
        health_.on_timer(now);
        take();
    }
    /// To the next timer.
    void advance() {
        now = health_.next_timer();
        advance(Duration::zero());
    }
    void set_state(MemberId id, config::BackendState state) {
        health_.set_state(id, state, now);
        take();
    }
    /// Other settings, as a reload brings them.
    void configure(config::Upstream settings, UpstreamHealth::Options options = {}) {
        settings_ = std::move(settings);
        health_.configure(settings_, options, now);
        take();
    }
    void remove(MemberId id) {
        health_.remove(id, now);
        take();
    }

    /// Applies the actions, and adds them to `done`.
    void take() {
        Actions actions = health_.take_actions();
        for (const auto& [of, to, trials] : actions.turns) {
            switch (to) {
                case balancer::CircuitState::closed: of->circuit().close(); break;
                case balancer::CircuitState::open: of->circuit().open(); break;
                case balancer::CircuitState::half_open: of->circuit().half_open(trials); break;
            }
            of->outcomes().forget_row();
        }
        const auto append = [](auto& to, auto& from) {
            to.insert(to.end(), std::make_move_iterator(from.begin()),
                      std::make_move_iterator(from.end()));
        };
        append(done.turns, actions.turns);
        append(done.slow_starts, actions.slow_starts);
        append(done.keep, actions.keep);
        append(done.end, actions.end);
        append(done.events, actions.events);
        done.publish |= actions.publish;
    }
    /// What was done since the last call.
    Actions taken() { return std::exchange(done, {}); }
    void forget() { done = {}; }

    [[nodiscard]] int count(EventKind kind) const {
        return static_cast<int>(std::ranges::count(done.events, kind, &Event::kind));
    }
    [[nodiscard]] std::string text(EventKind kind) const {
        const auto found = std::ranges::find(done.events, kind, &Event::kind);
        return found == done.events.end() ? "" : found->backend + ' ' + found->text;
    }
    [[nodiscard]] bool available(MemberId id, Role asked = Role::none) const {
        return health_.availability(id, asked).available;
    }
    [[nodiscard]] bool forced(MemberId id, Role asked = Role::none) const {
        return health_.availability(id, asked).forced;
    }
    [[nodiscard]] balancer::CircuitState circuit(MemberId id) const {
        return health_.status(id).circuit;
    }
    [[nodiscard]] balancer::Backend& backend_of(MemberId id) const { return *backends_[id]; }
    [[nodiscard]] const std::shared_ptr<balancer::Backend>& share(MemberId id) const {
        return backends_[id];
    }
    [[nodiscard]] UpstreamHealth& health() noexcept { return health_; }
    [[nodiscard]] const config::Upstream& settings() const noexcept { return settings_; }

    TimePoint now = noon;
    Actions done;

private:
    config::Upstream settings_;
    UpstreamHealth health_;
    std::vector<std::shared_ptr<balancer::Backend>> backends_;
};

/// Checked by tcp, panic off.
inline config::Upstream checked() {
    config::Upstream settings;
    settings.name = "db";
    settings.panic_threshold = 0;
    settings.health_check.type = config::CheckType::tcp;
    return settings;
}
/// No checks, panic off.
inline config::Upstream unchecked() {
    config::Upstream settings = checked();
    settings.health_check.type = config::CheckType::none;
    return settings;
}

}  // namespace penstock::health::testing
