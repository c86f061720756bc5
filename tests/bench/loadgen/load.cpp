#include "tests/bench/loadgen/load.hpp"

#include <algorithm>

namespace penstock::bench {

void Measurement::begin() {
    cpu_ = cpu_time_of(watch_);
    open_ = true;
    begun_ = Clock::now();
}

void Measurement::end() {
    const auto now = Clock::now();
    open_ = false;
    cpu_ = cpu_time_of(watch_) - cpu_;
    seconds_ = std::chrono::duration<double>(now - begun_).count();
}

void Measurement::operation(Clock::time_point started, Clock::time_point now) {
    if (!open_) return;
    ++operations_;
    const auto nanoseconds = std::chrono::nanoseconds(now - started).count();
    latency_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0)));
}

void run_load(Loop& loop, Generator& generator, const Load& load, Measurement& measurement) {
    const auto limit = Clock::now() + load.time_limit;
    if (!turn_until(loop, limit, [&] { return generator.established(); })) {
        measurement.errors.timeout += std::max<std::uint64_t>(generator.outstanding(), 1);
        return;
    }
    generator.start();
    const auto never = [] { return false; };
    turn_until(loop, std::min(limit, Clock::now() + load.warm_up), never);
    measurement.begin();
    turn_until(loop, std::min(limit, Clock::now() + load.duration), [&] {
        const bool enough = load.operations != 0 && measurement.operations() >= load.operations;
        return enough || generator.finished();  // finished already: every connection has failed
    });
    measurement.end();
    generator.stop();
    if (!turn_until(loop, limit, [&] { return generator.finished(); })) {
        measurement.errors.timeout += std::max<std::uint64_t>(generator.outstanding(), 1);
    }
}

}  // namespace penstock::bench
