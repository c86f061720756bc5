#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "tests/support/keyed_stream.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {

/// What one side of a connection did and saw.
struct SideRecord {
    bool present = false;        // this side's socket existed
    std::uint64_t sent = 0;      // bytes its kernel accepted
    std::uint64_t received = 0;  // bytes it read
    bool sent_fin = false;
    bool sent_reset = false;
    End saw = End::open;  // how the proxy ended its reading
    std::optional<Mismatch> mismatch;
};

/// One client connection through the proxy, as the tests know it.
struct ConnectionRecord {
    ConnectionId id;
    std::string client_address;  // both ends of the client's leg as the access log writes them
    std::string proxy_address;
    SideRecord client;
    SideRecord backend;
    unsigned backend_connections = 0;  // how many backend connections showed this id
    /// Empty or "completed": any reset that no peer caused is a fault. Otherwise the reason for
    /// which the proxy is expected to end it.
    std::string expected_reason;
    /// The proxy may end it with FIN although the peer sent none (drained, refuse_with = "close").
    bool proxy_may_finish = false;
};

/// The tests' own book of all connections. Thread-safe.
class Ledger {
public:
    /// A new connection; its streams become known to the registry.
    ConnectionId open();

    /// Changes one record under the lock; unknown ids are an error of the proxy and are noted.
    void update(const ConnectionId& id, const std::function<void(ConnectionRecord&)>& change);

    [[nodiscard]] ConnectionRecord record(const ConnectionId& id) const;
    [[nodiscard]] std::deque<ConnectionRecord> records() const;
    /// Ids that backends read and nobody sent.
    [[nodiscard]] std::deque<std::string> strangers() const;
    [[nodiscard]] const StreamRegistry& streams() const { return streams_; }

private:
    mutable std::mutex mutex_;
    std::uint64_t next_serial_ = 1;
    std::map<ConnectionId, ConnectionRecord> records_;
    std::deque<std::string> strangers_;
    StreamRegistry streams_;
};

}  // namespace penstock::test
