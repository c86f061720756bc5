#include "app/ledger/gone_ledger.hpp"

namespace penstock::app {

namespace {

// `name_of`: of a key of `counted`, what `since` calls it.
template <typename Counted, typename Known, typename Since, typename NameOf>
void forget_in(Counted& counted, const Known& known, Since& since, TimePoint now, NameOf name_of) {
    std::erase_if(counted, [&](const auto& item) {
        const auto name = name_of(item.first);
        if (known.contains(item.first)) {
            since.erase(name);
            return false;
        }
        const auto unknown = since.try_emplace(name, now).first;
        if (now - unknown->second < GoneLedger::remembered) return false;
        since.erase(unknown);
        return true;
    });
}

constexpr auto itself = [](const auto& name) { return name; };

}  // namespace

bool GoneLedger::empty() const noexcept {
    return sum_.listeners.empty() && sum_.upstreams.empty() && sum_.backends.empty();
}

void GoneLedger::forget(const Ledger& known, TimePoint now) {
    forget_in(sum_.listeners, known.listeners, listeners_, now, itself);
    for (auto& [listener, counted] : sum_.listeners) {
        const auto present = known.listeners.find(listener);
        if (present == known.listeners.end()) continue;  // its routes go with it
        forget_in(counted.routes, present->second.routes, routes_, now,
                  [&](const std::string& upstream) { return std::pair(listener, upstream); });
    }
    std::erase_if(
        routes_, [this](const auto& route) { return !sum_.listeners.contains(route.first.first); });
    forget_in(sum_.upstreams, known.upstreams, upstreams_, now, itself);
    forget_in(sum_.lookups, known.upstreams, lookups_, now, itself);
    forget_in(sum_.backends, known.backends, backends_, now, itself);
}

}  // namespace penstock::app
