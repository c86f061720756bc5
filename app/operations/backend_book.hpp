#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "app/ledger/ledger.hpp"
#include "app/operations/rates.hpp"
#include "balancer/backend.hpp"
#include "base/clock.hpp"
#include "metrics/totals.hpp"

namespace penstock::app {

/// The counters of all backends by name, so that they never go backwards: a backend that leaves
/// takes nothing with it, and one of the same name goes on where it ended. What is gone is
/// forgotten a while after its last session. Pure; one thread.
class BackendBook {
public:
    static constexpr Duration remembered = names_remembered;

    using BackendPtr = std::shared_ptr<const balancer::Backend>;
    using Sum = std::function<metrics::BackendTotals(const balancer::Backend&)>;

    /// `sum`: reads the cells of a backend.
    explicit BackendBook(Sum sum) : sum_(std::move(sum)) {}

    /// The backends that an upstream has now.
    void follow(const std::string& upstream, const std::vector<BackendPtr>& backends,
                TimePoint now);
    /// Upstreams other than these have no backends any more.
    void follow_only(const std::set<std::string>& upstreams, TimePoint now);
    /// Once a second: rates and times.
    void sample(double elapsed_s);

    [[nodiscard]] metrics::BackendTotals totals(const std::string& upstream,
                                                const std::string& backend) const;
    /// What all backends of one name have now.
    struct Now {
        std::uint64_t active = 0;
        std::uint64_t connecting = 0;
        std::uint64_t warm = 0;
    };
    /// `visit(upstream, backend, totals, now)` for everything that is remembered.
    template <typename Visit>
    void for_each(Visit visit) const {
        for (const auto& [upstream, entries] : upstreams_)
            for (const auto& [name, entry] : entries)
                visit(upstream, name, totals(entry), now_of(entry));
    }
    /// Sessions on backends of that name that are no longer the upstream's.
    [[nodiscard]] std::uint64_t left_sessions(const std::string& upstream,
                                              const std::string& backend) const;
    /// Null if it is not known.
    [[nodiscard]] const BackendPace* pace(const std::string& upstream,
                                          const std::string& backend) const;
    /// Names of those that have left and are still remembered.
    [[nodiscard]] std::vector<std::string> departed(const std::string& upstream) const;

private:
    struct Entry {
        BackendPtr current;  // null = it has left
        std::vector<BackendPtr> earlier;  // of the same name, that somebody may still count for
        metrics::BackendTotals base;  // of those that are gone for good
        TimePoint idle_since{};  // since when nothing of it is left
        BackendPace pace;
    };
    using Entries = std::map<std::string, Entry>;

    [[nodiscard]] static Now now_of(const Entry& entry);
    void settle(Entry& entry, TimePoint now);
    [[nodiscard]] metrics::BackendTotals totals(const Entry& entry) const;
    [[nodiscard]] const Entry* find(const std::string& upstream, const std::string& backend) const;

    Sum sum_;
    std::map<std::string, Entries> upstreams_;
};

}  // namespace penstock::app
