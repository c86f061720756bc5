#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "config/health.hpp"
#include "health/discovery/discovered.hpp"

namespace penstock::health {

/// The backends of one source over time: what its last good answer named, and what it named
/// shortly before. Pure.
class DiscoveredSet {
public:
    struct Options {
        Duration removal_delay{};
        config::OnEmpty on_empty = config::OnEmpty::keep;
        std::size_t max_backends = 256;
    };
    explicit DiscoveredSet(const Options& options) : options_(options) {}

    /// A good answer. Names that come twice count once; above max_backends those stay that were
    /// there before, then the first ones by name. Failures are not told: the set stays as it is.
    void on_answer(std::vector<Discovered> found, TimePoint now);
    /// The check's verdict on a backend. True if it leaves for that.
    bool on_check(std::string_view name, bool up);
    /// When next_timer() has come.
    void on_timer(TimePoint now);
    [[nodiscard]] TimePoint next_timer() const noexcept;

    /// By name.
    [[nodiscard]] std::vector<Discovered> list() const;
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    /// Of the last answer: those that did not fit.
    [[nodiscard]] std::size_t left_out() const noexcept { return left_out_; }

private:
    struct Entry {
        Discovered backend;
        bool down = false;
        TimePoint goes_at = no_deadline;  // unless it is named again before
    };
    [[nodiscard]] Entry* find(std::string_view name) noexcept;
    void miss(const std::vector<Discovered>& found, TimePoint now);

    Options options_;
    std::vector<Entry> entries_;  // by name
    std::size_t left_out_ = 0;
};

}  // namespace penstock::health
