#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "base/endpoint.hpp"
#include "metrics/cells.hpp"

namespace penstock::proxy {

/// How many connections to backends are open from each local address of an upstream, over all
/// workers. An address that was in it once stays, since connections outlive the configuration that
/// they were made by. Any thread; its lock is taken to look and to change, never to count.
class SourceBook {
public:
    explicit SourceBook(std::size_t workers) : workers_(workers) {}

    /// From now on the upstream connects from these.
    void configure(const std::vector<Endpoint>& addresses);
    /// Where `worker`, and nobody else, counts for `address`. Valid as long as the book.
    [[nodiscard]] metrics::SourceCells& cells(const Endpoint& address, unsigned worker);

    struct InUse {
        Endpoint address;
        std::uint64_t connections;
    };
    /// Of each address that is configured, and of others that have connections left.
    [[nodiscard]] std::vector<InUse> in_use() const;

private:
    struct Entry {
        bool configured = false;
        std::vector<metrics::SourceCells> cells;  // one for each worker
    };
    Entry& entry(const Endpoint& address);

    const std::size_t workers_;
    mutable std::mutex mutex_;
    std::map<Endpoint, Entry> entries_;
};

}  // namespace penstock::proxy
