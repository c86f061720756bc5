#include "health/discovery/discovered_set.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace penstock::health {

namespace {

bool names(const std::vector<Discovered>& sorted, const std::string& name) {
    return std::ranges::binary_search(sorted, name, {}, &Discovered::name);
}

}  // namespace

DiscoveredSet::Entry* DiscoveredSet::find(std::string_view name) noexcept {
    const auto place = std::ranges::lower_bound(
        entries_, name, {},
        [](const Entry& entry) -> std::string_view { return entry.backend.name; });
    return place != entries_.end() && place->backend.name == name ? &*place : nullptr;
}

void DiscoveredSet::on_answer(std::vector<Discovered> found, TimePoint now) {
    left_out_ = 0;
    if (found.empty() && options_.on_empty == config::OnEmpty::keep) return;
    // Of two host names for one address the same one counts each time.
    std::ranges::sort(
        found, {}, [](const Discovered& backend) { return std::tie(backend.name, backend.host); });
    const auto twice = std::ranges::unique(found, {}, &Discovered::name);
    found.erase(twice.begin(), twice.end());
    miss(found, now);
    std::size_t room = options_.max_backends;
    for (auto& backend : found)
        if (Entry* known = find(backend.name)) {
            if (room > 0) --room;
            known->backend = backend;
            known->goes_at = no_deadline;
        }
    std::vector<Entry> fresh;
    for (auto& backend : found) {
        if (find(backend.name) != nullptr) continue;
        if (fresh.size() == room)
            ++left_out_;
        else
            fresh.push_back({std::move(backend)});
    }
    std::ranges::move(fresh, std::back_inserter(entries_));
    std::ranges::sort(entries_, {},
                      [](const Entry& entry) -> const std::string& { return entry.backend.name; });
}

// Those that are not named any more.
void DiscoveredSet::miss(const std::vector<Discovered>& found, TimePoint now) {
    std::erase_if(entries_, [&](Entry& entry) {
        if (names(found, entry.backend.name)) return false;
        if (entry.goes_at == no_deadline)
            entry.goes_at = deadline_after(now, options_.removal_delay);
        return entry.down || entry.goes_at <= now;
    });
}

bool DiscoveredSet::on_check(std::string_view name, bool up) {
    Entry* entry = find(name);
    if (entry == nullptr) return false;
    entry->down = !up;
    if (up || entry->goes_at == no_deadline) return false;
    entries_.erase(entries_.begin() + (entry - entries_.data()));
    return true;
}

void DiscoveredSet::on_timer(TimePoint now) {
    std::erase_if(entries_, [now](const Entry& entry) { return entry.goes_at <= now; });
}

TimePoint DiscoveredSet::next_timer() const noexcept {
    TimePoint next = no_deadline;
    for (const Entry& entry : entries_) next = std::min(next, entry.goes_at);
    return next;
}

std::vector<Discovered> DiscoveredSet::list() const {
    std::vector<Discovered> all;
    all.reserve(entries_.size());
    for (const Entry& entry : entries_) all.push_back(entry.backend);
    return all;
}

}  // namespace penstock::health
