#pragma once

#include <map>
#include <string>
#include <utility>

#include "app/ledger/ledger.hpp"
#include "base/clock.hpp"

namespace penstock::app {

/// What processes have counted that have ended. Names that nobody knows any more are forgotten
/// after a while, as BackendBook does it: otherwise every pod that there ever was would go from
/// upgrade to upgrade. Pure; one thread.
class GoneLedger {
public:
    static constexpr Duration remembered = names_remembered;

    void add(const Ledger& ledger) { sum_ += ledger; }
    [[nodiscard]] const Ledger& sum() const noexcept { return sum_; }
    [[nodiscard]] bool empty() const noexcept;

    /// Now and then. `known`: has all names that processes which live know, whatever it counts.
    void forget(const Ledger& known, TimePoint now);

private:
    template <typename Name>
    using Since = std::map<Name, TimePoint>;  // nobody knows the name

    Ledger sum_;
    Since<std::string> listeners_;
    Since<std::pair<std::string, std::string>> routes_;  // listener, upstream
    Since<std::string> upstreams_;
    Since<std::string> lookups_;
    Since<BackendName> backends_;
};

}  // namespace penstock::app
