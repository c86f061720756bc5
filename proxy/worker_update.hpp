#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "config/config.hpp"
#include "net/unique_fd.hpp"
#include "proxy/access_log/writer.hpp"
#include "proxy/context.hpp"
#include "proxy/upstream.hpp"

namespace penstock::proxy {

/// What one worker goes by from now on: all of its upstreams, listeners and sockets, in the order
/// of the configuration. Made for this worker alone, off its thread, so that taking it over costs
/// the worker little more than swapping pointers; what it has already is only named.
struct WorkerUpdate {
    struct Upstream {
        std::shared_ptr<UpstreamShared> shared;
        UpstreamPtr fresh{};           // null: the worker has it
        UpstreamSettings changed{};    // null: its settings stay
        SnapshotPtr snapshot{};        // with `changed`
        std::shared_ptr<const net::tls::ClientContext> tls{};  // with either of them
    };
    struct Listener {
        std::shared_ptr<ListenerShared> shared;
        std::vector<std::size_t> upstreams{};  // places of those of `shared->routes`
        std::vector<std::uint32_t> split{};  // weights that an operator has set; empty = none
    };
    struct Socket {
        int fd;  // of a listening socket
        std::size_t listener;
        net::UniqueFd fresh{};  // that socket; empty: the worker has it
    };
    struct AccessLog {
        config::AccessLog settings;
        LogWriter* writer = nullptr;  // null = none
    };

    std::vector<Upstream> upstreams;
    std::vector<Listener> listeners;
    std::vector<Socket> sockets;  // any other is closed, after what waits in its queue
    std::uint64_t hash_seed = 0;
    std::optional<AccessLog> access_log{};  // nothing: as it is
};

}  // namespace penstock::proxy
