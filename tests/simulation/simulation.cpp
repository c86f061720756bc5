#include "tests/simulation/simulation.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <queue>

#include "balancer/selector.hpp"
#include "base/random.hpp"

namespace penstock::simulation {

namespace {

using balancer::Backend;
using balancer::BackendSet;
using balancer::HashTables;
using balancer::PolicyKind;
using balancer::PolicyOptions;
using balancer::Selector;

template <typename T>
using EarliestFirst = std::priority_queue<T, std::vector<T>, std::greater<>>;

HashTables tables_for(PolicyKind kind) {
    switch (kind) {
        case PolicyKind::maglev: return HashTables::maglev;
        case PolicyKind::ring_hash: return HashTables::ring;
        default: return HashTables::none;
    }
}

std::shared_ptr<const BackendSet> make_set(std::size_t size, PolicyKind kind) {
    std::vector<balancer::BackendEntry> entries;
    for (std::size_t i = 0; i < size; ++i)
        entries.push_back({std::make_shared<Backend>(
            "up", "10.0.0." + std::to_string(i + 1) + ":80", Endpoint{})});
    return std::make_shared<const BackendSet>(
        std::move(entries), balancer::SetOptions{.hash_tables = tables_for(kind)});
}

Duration exponential(Random& random, double mean_ns) {
    return Duration(static_cast<Duration::rep>(-std::log1p(-random.unit()) * mean_ns));
}

/// Some places, first come, first served; nothing moves during the stall.
class Server {
public:
    Server(std::uint32_t places, TimePoint stall_begin, TimePoint stall_end)
        : stall_begin_(stall_begin), stall_end_(stall_end) {
        for (std::uint32_t i = 0; i < places; ++i) free_at_.push(TimePoint());
    }

    /// When the work of a client that comes now is done. Clients come in the order of time.
    TimePoint serve(TimePoint now, Duration work) {
        TimePoint start = std::max(now, free_at_.top());
        free_at_.pop();
        if (start >= stall_begin_ && start < stall_end_) start = stall_end_;
        TimePoint end = start + work;
        if (start < stall_begin_ && end > stall_begin_) end += stall_end_ - stall_begin_;
        free_at_.push(end);
        return end;
    }

private:
    TimePoint stall_begin_;
    TimePoint stall_end_;
    EarliestFirst<TimePoint> free_at_;
};

struct Samples {
    std::vector<Duration> waits;
    std::vector<Duration> answers;
};

class Run {
public:
    Run(const Scenario& scenario, const PolicyOptions& policy, std::uint64_t seed)
        : scenario_(scenario), random_(seed), set_(make_set(scenario.speeds.size(), policy.kind)) {
        for (std::uint32_t i = 0; i < scenario.speeds.size(); ++i) {
            const bool stalls = i == scenario.stalled;
            servers_.emplace_back(scenario.workers,
                                  stalls ? begin_ + scenario.stall_begin : TimePoint::max(),
                                  stalls ? begin_ + scenario.stall_end : TimePoint::max());
        }
        for (std::uint32_t i = 0; i < scenario.workers; ++i)
            selectors_.push_back(std::make_unique<Selector>(
                set_,
                balancer::SelectorOptions{.kind = policy.kind, .bounded_load = policy.bounded_load},
                random_.next()));
    }

    // Adds to what other runs have found.
    void play(Samples& samples, Result& result) {
        const double speed =
            std::reduce(scenario_.speeds.begin(), scenario_.speeds.end()) * scenario_.workers;
        const double pace = mean_ns() / (speed * scenario_.load);
        const TimePoint end = begin_ + scenario_.length;
        const TimePoint last = end - scenario_.length / 4;
        for (TimePoint now = begin_; now < end; now += exponential(random_, pace)) {
            answer_until(now);
            const std::uint32_t i = arrive(now, samples);
            ++result.shares[i];
            if (now >= last) ++result.last_shares[i];
        }
    }

private:
    struct Answer {
        TimePoint at;
        Duration took;
        std::uint32_t backend;
        bool operator>(const Answer& other) const { return at > other.at; }
    };

    [[nodiscard]] double mean_ns() const { return static_cast<double>(scenario_.service.count()); }

    std::uint32_t arrive(TimePoint now, Samples& samples) {
        Selector& selector = *selectors_[random_.below(scenario_.workers)];
        const auto i =
            selector.pick({.tried = nobody_, .key = random_.next(), .now = now}).value().index;
        const Duration work = exponential(random_, mean_ns() / scenario_.speeds[i]);
        const TimePoint done = servers_[i].serve(now, work);
        set_->backend(i).session_started();
        answers_.push({done, done - now, i});
        samples.waits.push_back(done - now - work);
        samples.answers.push_back(done - now);
        return i;
    }

    void answer_until(TimePoint now) {
        for (; !answers_.empty() && answers_.top().at <= now; answers_.pop()) {
            const auto& [at, took, i] = answers_.top();
            set_->backend(i).latency().record(took, at);
            set_->backend(i).session_ended();
        }
    }

    const Scenario& scenario_;
    Random random_;
    std::shared_ptr<const BackendSet> set_;
    std::vector<std::unique_ptr<Selector>> selectors_;
    std::vector<Server> servers_;
    EarliestFirst<Answer> answers_;
    const balancer::Bitmap nobody_;
    // Not the beginning of all time, lest something unset look like it.
    static constexpr TimePoint begin_{std::chrono::hours(1)};
};

Duration mean(const std::vector<Duration>& samples) {
    return std::reduce(samples.begin(), samples.end()) / static_cast<Duration::rep>(samples.size());
}

Duration quantile(std::vector<Duration>& samples, std::size_t per_mille) {
    const auto place =
        samples.begin() + static_cast<std::ptrdiff_t>(samples.size() * per_mille / 1000);
    std::ranges::nth_element(samples, place);
    return *place;
}

// As shares of their sum.
void normalize(std::vector<double>& counts) {
    const double sum = std::reduce(counts.begin(), counts.end());
    for (double& count : counts) count /= sum;
}

}  // namespace

Result simulate(const Scenario& scenario, const PolicyOptions& policy, std::uint64_t seed) {
    Samples samples;
    Result result;
    result.shares.resize(scenario.speeds.size());
    result.last_shares.resize(scenario.speeds.size());
    for (std::uint32_t run = 0; run < scenario.runs; ++run)
        Run(scenario, policy, seed + run).play(samples, result);
    normalize(result.shares);
    normalize(result.last_shares);
    result.clients = samples.waits.size();
    result.wait_mean = mean(samples.waits);
    result.wait_p99 = quantile(samples.waits, 990);
    result.wait_p999 = quantile(samples.waits, 999);
    result.answer_mean = mean(samples.answers);
    result.answer_p99 = quantile(samples.answers, 990);
    return result;
}

}  // namespace penstock::simulation
