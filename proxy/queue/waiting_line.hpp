#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "base/clock.hpp"
#include "config/config.hpp"

namespace penstock::proxy {

/// A session's place in a WaitingLine. Must be out of it when it is destroyed; belongs to the
/// session's worker, apart from what the line itself touches under its lock.
class Waiter : public boost::intrusive::list_base_hook<> {
public:
    explicit Waiter(unsigned worker) noexcept : worker_(worker) {}

    /// It was called, and take_called() has returned it.
    [[nodiscard]] bool trying() const noexcept { return trying_; }

private:
    friend class WaitingLine;
    enum class Place : std::uint8_t { out, waiting, called, trying };

    std::uint64_t ticket_ = 0;  // its turn, kept when it has to wait again
    unsigned worker_;
    bool trying_ = false;         // touched by its own worker only
    Place place_ = Place::out;  // guarded by the line's lock
};

/// The sessions of all workers that wait for a slot of one upstream. Whoever frees a slot calls the
/// one whose turn it is, on whichever worker it is; the called one tries to take the slot, and when
/// somebody was faster it waits again at its old place.
///
/// No slot stays free beside a waiting session, because each of the two makes itself seen before it
/// looks at the other (all of it sequentially consistent): a session joins and then looks for a
/// free slot; who frees a slot does so and then looks for a waiting session. A call that its
/// receiver cannot use is passed on by whoever finds that out.
///
/// Any thread. The lock is held for a few pointers' time and never while nobody waits.
class WaitingLine {
public:
    /// A line that was not empty for so long is a standing one: the upstream is overloaded.
    static constexpr Duration standing_after = std::chrono::milliseconds(100);

    /// `max_length` 0 = nobody may wait.
    WaitingLine(std::size_t workers, std::uint32_t max_length, config::QueueOrder order);
    WaitingLine(const WaitingLine&) = delete;
    WaitingLine& operator=(const WaitingLine&) = delete;
    ~WaitingLine();

    /// False if the line is full. One that waited before gets its old place, always. Afterwards
    /// the session looks for a free slot, and calls if there is one.
    [[nodiscard]] bool join(Waiter& waiter, TimePoint now);
    /// Takes `waiter` out, for good: it has got its slot, or ended. True if it had been called: if
    /// it did not use that, the call has to be passed on. Does nothing if it is out.
    bool leave(Waiter& waiter);

    /// Calls the next one; returns its worker, which has to take_called(), or nothing if nobody
    /// waits (that costs one load). `fifo`: who came first. `adaptive_lifo`: the same, but who came
    /// last while the line is a standing one, so that some are served in time instead of all late
    /// (Maurer, "Fail at Scale", ACM Queue 2015).
    [[nodiscard]] std::optional<unsigned> call_next(TimePoint now);
    /// The next called session of this worker: it now tries to take a slot, then leaves or joins
    /// again. Null if there is none.
    [[nodiscard]] Waiter* take_called(unsigned worker);

    /// From now on; who waits already keeps its place.
    void configure(std::uint32_t max_length, config::QueueOrder order);

    /// Sessions that nobody has called yet.
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_count_.load(); }
    /// Whether a newcomer has to queue: somebody waits, or was called and has no slot yet.
    [[nodiscard]] bool occupied() const noexcept { return occupied_.load() != 0; }

private:
    using List = boost::intrusive::list<Waiter, boost::intrusive::constant_time_size<false>>;

    void insert_by_ticket(Waiter& waiter);
    [[nodiscard]] bool newest_first(TimePoint now) const noexcept;

    std::uint32_t max_length_;  // guarded by the lock
    config::QueueOrder order_;
    alignas(64) std::atomic<std::size_t> waiting_count_{0};
    std::atomic<std::size_t> occupied_{0};
    std::mutex mutex_;
    List waiting_;  // by ticket
    std::vector<List> called_;  // by worker
    std::uint64_t next_ticket_ = 1;
    TimePoint standing_since_{};  // when the line was last empty
};

}  // namespace penstock::proxy
