#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "app/monitors.hpp"
#include "app/server.hpp"
#include "app/upgrade/messages.hpp"
#include "balancer/backend.hpp"
#include "base/random.hpp"
#include "proxy/figures.hpp"

namespace penstock::app {

using Backends = std::vector<std::shared_ptr<const balancer::Backend>>;
/// Those of an upstream now.
[[nodiscard]] Backends backends_of(Monitors& monitors, std::size_t upstream);

/// What the workers tell of the sessions of this process, and how these end. Control thread.
class WorkerSessions {
public:
    /// References must outlive the object.
    WorkerSessions(boost::asio::io_context& context, Server& server)
        : context_(context), server_(server) {}

    /// The oldest first, and those that ended last.
    boost::asio::awaitable<std::vector<proxy::SessionInfo>> live(proxy::SessionFilter filter);
    boost::asio::awaitable<std::vector<proxy::ClosedLine>> closed(proxy::ClosedFilter filter);

    using Counts = std::vector<std::vector<upgrade::SessionCount>>;  // by backend and worker
    /// `before`: how many are old enough had their connection by then.
    boost::asio::awaitable<Counts> count(Backends backends, TimePoint before);
    /// False = there is none of that name.
    boost::asio::awaitable<bool> kill(proxy::ConnectionId id);
    /// `quotas[i]` sessions of the backend end on worker i, over that time.
    void end(const std::shared_ptr<const balancer::Backend>& backend, TimePoint before,
             const std::vector<std::size_t>& quotas, Duration over, CloseReason reason);

private:
    /// What all workers answer, the largest first.
    template <typename Item, typename Question, typename Key>
    boost::asio::awaitable<std::vector<Item>> gather(Question question, Key descending,
                                                     std::size_t limit);

    boost::asio::io_context& context_;
    Server& server_;
    Random random_ = Random::from_entropy();
};

}  // namespace penstock::app
