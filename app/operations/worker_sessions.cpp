#include "app/operations/worker_sessions.hpp"

#include <algorithm>
#include <utility>

#include "app/operations/ask_workers.hpp"

namespace penstock::app {

using boost::asio::awaitable;

Backends backends_of(Monitors& monitors, std::size_t upstream) {
    Backends backends;
    for (auto& status : monitors.of(upstream).backends())
        backends.push_back(std::move(status.backend));
    return backends;
}

template <typename Item, typename Question, typename Key>
awaitable<std::vector<Item>> WorkerSessions::gather(Question question, Key descending,
                                                    std::size_t limit) {
    std::vector<Item> all;
    if (!server_.running()) co_return all;
    auto asking = ask_workers<std::vector<Item>>(context_, server_.workers(), std::move(question));
    auto answers = co_await std::move(asking);
    for (auto& answer : answers) std::ranges::move(answer, std::back_inserter(all));
    std::ranges::stable_sort(all, std::ranges::greater(), descending);
    if (all.size() > limit) all.resize(limit);
    co_return all;
}

awaitable<std::vector<proxy::SessionInfo>> WorkerSessions::live(proxy::SessionFilter filter) {
    const std::size_t limit = filter.limit;
    return gather<proxy::SessionInfo>(
        [filter = std::move(filter)](proxy::Worker& worker) {
            return worker.list_sessions(filter);
        },
        &proxy::SessionInfo::age, limit);
}

awaitable<std::vector<proxy::ClosedLine>> WorkerSessions::closed(proxy::ClosedFilter filter) {
    const std::size_t limit = filter.limit;
    return gather<proxy::ClosedLine>(
        [filter = std::move(filter)](proxy::Worker& worker) {
            return worker.closed_sessions().list(filter);
        },
        &proxy::ClosedLine::ended, limit);
}

awaitable<bool> WorkerSessions::kill(proxy::ConnectionId id) {
    if (id.process != server_.shared().process_id) co_return false;
    auto asking = ask_workers<bool>(context_, server_.workers(), [id](proxy::Worker& worker) {
        return worker.index() == proxy::worker_of(id) && worker.kill(id.sequence);
    });
    const auto answers = co_await std::move(asking);
    co_return std::ranges::find(answers, true) != answers.end();
}

awaitable<WorkerSessions::Counts> WorkerSessions::count(Backends backends, TimePoint before) {
    using OfWorker = std::vector<upgrade::SessionCount>;  // by backend
    auto asking = ask_workers<OfWorker>(
        context_, server_.workers(),
        [backends, before, now = SteadyClock().now()](proxy::Worker& worker) {
            OfWorker counts;
            for (const auto& backend : backends)
                counts.push_back({worker.count_sessions({.backend = backend, .before = now}),
                                  worker.count_sessions({.backend = backend, .before = before})});
            return counts;
        });
    const auto answers = co_await std::move(asking);
    Counts all(backends.size());
    for (std::size_t i = 0; i < backends.size(); ++i)
        for (const OfWorker& counts : answers)  // a stuck worker has said nothing
            all[i].push_back(i < counts.size() ? counts[i] : upgrade::SessionCount{});
    co_return all;
}

// The workers do not go in step, lest their clients come back in pairs.
void WorkerSessions::end(const std::shared_ptr<const balancer::Backend>& backend, TimePoint before,
                         const std::vector<std::size_t>& quotas, Duration over,
                         CloseReason reason) {
    const auto& workers = server_.workers();
    for (std::size_t i = 0; i < workers.size(); ++i) {
        if (quotas[i] == 0) continue;
        const double step = static_cast<double>(over.count()) / static_cast<double>(quotas[i]);
        const Duration wait(static_cast<Duration::rep>(step * random_.unit()));
        proxy::Worker* const worker = workers[i].get();
        worker->send([worker, backend, before, quota = quotas[i], over, wait, reason] {
            const proxy::DrainPlan plan(worker->loop().now(), wait,
                                        std::max(over - wait, Duration::zero()));
            worker->add_drain(proxy::SessionDrain(
                {.backend = backend, .before = before}, plan, reason,
                {.only_quiet = reason == CloseReason::rebalanced, .quota = quota}));
        });
    }
}

}  // namespace penstock::app
