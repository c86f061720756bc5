#include "tests/support/ledger.hpp"

namespace penstock::test {

ConnectionId Ledger::open() {
    const std::lock_guard lock(mutex_);
    ConnectionRecord record;
    record.id = ConnectionId::from_serial(next_serial_++);
    streams_.add({record.id, Direction::to_backend});
    streams_.add({record.id, Direction::to_client});
    records_.emplace(record.id, record);
    return record.id;
}

void Ledger::update(const ConnectionId& id, const std::function<void(ConnectionRecord&)>& change) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end()) {
        const auto origin = streams_.origin_of(id.bytes);
        strangers_.push_back(id.text() + (origin ? " = " + *origin : ""));
    } else {
        change(found->second);
    }
}

ConnectionRecord Ledger::record(const ConnectionId& id) const {
    const std::lock_guard lock(mutex_);
    return records_.at(id);
}

std::deque<ConnectionRecord> Ledger::records() const {
    const std::lock_guard lock(mutex_);
    std::deque<ConnectionRecord> all;
    for (const auto& [id, record] : records_) all.push_back(record);
    return all;
}

std::deque<std::string> Ledger::strangers() const {
    const std::lock_guard lock(mutex_);
    return strangers_;
}

}  // namespace penstock::test
