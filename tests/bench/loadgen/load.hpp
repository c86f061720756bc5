#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "tests/bench/loadgen/channel.hpp"
#include "tests/bench/loadgen/histogram.hpp"
#include "tests/bench/loadgen/loop.hpp"
#include "tests/bench/loadgen/process_cpu.hpp"
#include "tests/bench/loadgen/sockets.hpp"

namespace penstock::bench {

/// One run of load. Every run is bounded three ways: by duration, by operations, by time_limit.
struct Load {
    Target target;
    unsigned connections = 1;
    std::size_t size = 64;  ///< bytes of a message
    const TlsClient* tls = nullptr;  ///< plain connections without one
    bool resume = false;  ///< each slot resumes the TLS session of its last connection
    std::chrono::nanoseconds warm_up{};
    std::chrono::nanoseconds duration{};
    std::uint64_t operations = 0;  ///< stop after this many measured ones; 0 = no such bound
    std::chrono::nanoseconds time_limit{};  ///< for everything, set-up and clearing included
    std::vector<pid_t> watch;               ///< processes whose CPU time is measured
};

/// What went wrong, by kind. Any of them makes the run a failure.
struct Errors {
    std::uint64_t connect = 0;    ///< could not be established
    std::uint64_t broken = 0;     ///< reset or another I/O error in the middle
    std::uint64_t early_end = 0;  ///< ended before everything had arrived
    std::uint64_t mismatch = 0;   ///< bytes differ from what was sent, or too many of them
    std::uint64_t timeout = 0;    ///< still unanswered at the time limit
    std::uint64_t session = 0;    ///< TLS was not resumed, or resumed without being asked

    [[nodiscard]] std::uint64_t total() const {
        return connect + broken + early_end + mismatch + timeout + session;
    }
};

/// The measured interval: opened and closed by the runner, fed by the generators. What happens
/// outside of it is verified all the same, but not counted as work.
class Measurement {
public:
    explicit Measurement(const Load& load) : watch_(load.watch) {}

    void begin();
    void end();

    /// One completed operation that began at `started`.
    void operation(Clock::time_point started, Clock::time_point now);
    void bytes(std::size_t n) { bytes_ += open_ ? n : 0; }

    [[nodiscard]] std::uint64_t operations() const { return operations_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    [[nodiscard]] const Histogram& latency() const { return latency_; }
    /// Used by the watched processes between begin() and end().
    [[nodiscard]] const CpuTime& cpu() const { return cpu_; }
    [[nodiscard]] double seconds() const { return seconds_; }

    Errors errors;

private:
    std::vector<pid_t> watch_;
    bool open_ = false;
    Clock::time_point begun_;
    CpuTime cpu_;
    double seconds_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t bytes_ = 0;
    Histogram latency_;
};

/// A kind of load. The runner turns the loop until established(), calls start(), measures, calls
/// stop() and turns the loop until finished().
class Generator {
public:
    virtual ~Generator() = default;

    [[nodiscard]] virtual bool established() const = 0;
    virtual void start() = 0;
    /// Begin nothing new from here on.
    virtual void stop() = 0;
    /// Nothing is outstanding (any more).
    [[nodiscard]] virtual bool finished() const = 0;
    /// How many operations or connections are still outstanding.
    [[nodiscard]] virtual std::uint64_t outstanding() const = 0;
};

/// Turns the loop until `done()` or `deadline`; tells whether it was done.
template <typename Predicate>
bool turn_until(Loop& loop, Clock::time_point deadline, Predicate done) {
    while (!done()) {
        if (Clock::now() >= deadline) return false;
        loop.turn(deadline);
    }
    return true;
}

/// Runs `generator` through the phases above and fills `measurement`.
void run_load(Loop& loop, Generator& generator, const Load& load, Measurement& measurement);

}  // namespace penstock::bench
