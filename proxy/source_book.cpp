#include "proxy/source_book.hpp"

namespace penstock::proxy {

SourceBook::Entry& SourceBook::entry(const Endpoint& address) {
    Entry& found = entries_[address];
    if (found.cells.empty()) found.cells = std::vector<metrics::SourceCells>(workers_);
    return found;
}

void SourceBook::configure(const std::vector<Endpoint>& addresses) {
    const std::scoped_lock lock(mutex_);
    for (auto& [address, known] : entries_) known.configured = false;
    for (const Endpoint& address : addresses) entry(address).configured = true;
}

metrics::SourceCells& SourceBook::cells(const Endpoint& address, unsigned worker) {
    const std::scoped_lock lock(mutex_);
    return entry(address).cells.at(worker);
}

std::vector<SourceBook::InUse> SourceBook::in_use() const {
    const std::scoped_lock lock(mutex_);
    std::vector<InUse> all;
    for (const auto& [address, known] : entries_) {
        std::uint64_t open = 0;
        for (const auto& cells : known.cells) open += cells.open.value();
        if (known.configured || open != 0) all.push_back({address, open});
    }
    return all;
}

}  // namespace penstock::proxy
