#include "app/operations/backend_book.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>

namespace penstock::app {

void BackendBook::follow(const std::string& upstream, const std::vector<BackendPtr>& backends,
                         TimePoint now) {
    Entries& entries = upstreams_[upstream];
    std::map<std::string, BackendPtr> present;
    for (const auto& backend : backends) present.emplace(backend->name(), backend);
    for (auto& [name, entry] : entries) {
        const auto found = present.find(name);
        const BackendPtr next = found == present.end() ? nullptr : found->second;
        if (entry.current != next) {
            if (entry.current) entry.earlier.push_back(entry.current);
            entry.current = next;
            std::erase(entry.earlier, next);  // it has come back
            entry.idle_since = now;
        }
    }
    for (const auto& [name, backend] : present)
        if (!entries.contains(name)) entries[name].current = backend;
    for (auto& [name, entry] : entries) settle(entry, now);
    std::erase_if(entries, [now](const auto& item) {
        const Entry& entry = item.second;
        return !entry.current && entry.earlier.empty() && now - entry.idle_since >= remembered;
    });
}

void BackendBook::follow_only(const std::set<std::string>& upstreams, TimePoint now) {
    for (auto& [name, entries] : upstreams_)
        if (!upstreams.contains(name)) follow(name, {}, now);
    std::erase_if(upstreams_, [&](const auto& upstream) {
        return upstream.second.empty() && !upstreams.contains(upstream.first);
    });
}

// One that nobody else knows counts nothing more. Without sessions alone it may: a worker that has
// not heard yet that it left may still choose it.
void BackendBook::settle(Entry& entry, TimePoint now) {
    std::erase_if(entry.earlier, [&](const BackendPtr& backend) {
        if (backend.use_count() != 1) return false;
        // What they counted before they let go.
        std::atomic_thread_fence(std::memory_order_acquire);
        entry.base += sum_(*backend);
        entry.idle_since = now;
        return true;
    });
}

void BackendBook::sample(double elapsed_s) {
    for (auto& [upstream, entries] : upstreams_)
        for (auto& [name, entry] : entries) {
            const auto now = totals(entry);
            const auto failed = std::accumulate(now.connect_failures.begin(),
                                                now.connect_failures.end(), std::uint64_t{0});
            entry.pace.established.sample(now.established, elapsed_s);
            entry.pace.failed.sample(failed, elapsed_s);
            entry.pace.bytes_to_backend.sample(now.bytes_to_backend, elapsed_s);
            entry.pace.bytes_to_client.sample(now.bytes_to_client, elapsed_s);
            entry.pace.connect.sample(now.connect, elapsed_s);
            entry.pace.first_byte.sample(now.first_byte, elapsed_s);
        }
}

metrics::BackendTotals BackendBook::totals(const Entry& entry) const {
    metrics::BackendTotals sum = entry.base;
    for (const auto& backend : entry.earlier) sum += sum_(*backend);
    if (entry.current) sum += sum_(*entry.current);
    return sum;
}

BackendBook::Now BackendBook::now_of(const Entry& entry) {
    Now now;
    const auto add = [&now](const balancer::Backend& backend) {
        const std::uint64_t held = backend.slots().used();
        now.active += backend.active();
        now.connecting += backend.connecting().used();
        now.warm += held > backend.active() ? held - backend.active() : 0;
    };
    if (entry.current) add(*entry.current);
    for (const auto& backend : entry.earlier) add(*backend);
    return now;
}

const BackendBook::Entry* BackendBook::find(const std::string& upstream,
                                            const std::string& backend) const {
    const auto entries = upstreams_.find(upstream);
    if (entries == upstreams_.end()) return nullptr;
    const auto entry = entries->second.find(backend);
    return entry == entries->second.end() ? nullptr : &entry->second;
}

metrics::BackendTotals BackendBook::totals(const std::string& upstream,
                                           const std::string& backend) const {
    const Entry* entry = find(upstream, backend);
    return entry == nullptr ? metrics::BackendTotals{} : totals(*entry);
}

std::uint64_t BackendBook::left_sessions(const std::string& upstream,
                                         const std::string& backend) const {
    std::uint64_t sum = 0;
    if (const Entry* entry = find(upstream, backend); entry != nullptr)
        for (const auto& earlier : entry->earlier) sum += earlier->active();
    return sum;
}

const BackendPace* BackendBook::pace(const std::string& upstream,
                                     const std::string& backend) const {
    const Entry* entry = find(upstream, backend);
    return entry == nullptr ? nullptr : &entry->pace;
}

std::vector<std::string> BackendBook::departed(const std::string& upstream) const {
    std::vector<std::string> names;
    const auto entries = upstreams_.find(upstream);
    if (entries == upstreams_.end()) return names;
    for (const auto& [name, entry] : entries->second)
        if (!entry.current) names.push_back(name);
    return names;
}

}  // namespace penstock::app
