#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>

#include "admin/events.hpp"
#include "admin/model.hpp"
#include "admin/plan.hpp"
#include "proxy/inspect/closed_sessions.hpp"
#include "proxy/inspect/session_info.hpp"

namespace penstock::admin {

/// Why something was not done: an HTTP status and words for the user.
struct Refusal {
    unsigned status = 400;
    std::string error{};
    std::vector<std::string> details{};
};

template <typename T>
using Outcome = std::expected<T, Refusal>;

struct BackendChange {
    std::optional<config::BackendState> state{};
    std::optional<std::uint32_t> weight{};
    bool reset = false;  // what was changed while running is forgotten
};

/// Sessions of one backend end, idle ones first.
struct KillOrder {
    Duration over{};
    double share = 1.0;
    bool dry_run = false;
};

struct RebalanceOrder {
    Duration over = std::chrono::minutes(10);
    double max_share = 0.2;
    Duration min_age{};  // younger sessions stay
    bool dry_run = false;
};

/// `notes`: what was not reached in old processes, a sentence each.
struct Done {
    std::vector<std::string> notes{};
};

/// How many sessions will end, per backend where several are concerned.
struct Ending {
    std::uint64_t sessions = 0;  // there are
    std::uint64_t closing = 0;
    std::map<std::string, std::uint64_t> per_backend{};
    // Those of them that are in processes which this one has taken over from.
    std::uint64_t old_sessions = 0;
    std::uint64_t old_closing = 0;
    std::vector<std::string> notes{};  // as those of Done
};

struct ExplainQuery {
    std::string listener{};
    std::optional<CompactEndpoint> source{};
    std::string server_name{};  // "" = the client gives none
    std::vector<std::string> alpn{};
};

/// The running proxy, as its API sees it. The implementation wires it to the workers and to
/// health. Control thread. `actor`: who asks, for the record.
class Operations {
public:
    virtual ~Operations() = default;

    [[nodiscard]] virtual Overview overview() = 0;
    /// What `show` makes of the overview of this moment. With many backends that takes a while: it
    /// runs on another thread, and the loop goes on.
    using Show = std::string (*)(const Overview& overview);
    [[nodiscard]] virtual boost::asio::awaitable<std::string> shown(Show show) = 0;
    [[nodiscard]] virtual boost::asio::awaitable<std::vector<proxy::SessionInfo>> sessions(
        proxy::SessionFilter filter) = 0;
    /// Those of processes that this one has taken over from, as objects of the API.
    [[nodiscard]] virtual boost::asio::awaitable<boost::json::array> old_sessions(
        proxy::SessionFilter filter) = 0;
    /// The newest first.
    [[nodiscard]] virtual boost::asio::awaitable<std::vector<proxy::ClosedLine>> closes(
        proxy::ClosedFilter filter) = 0;
    /// The effective configuration as TOML, without what is secret.
    [[nodiscard]] virtual std::string configuration() = 0;
    [[nodiscard]] virtual Outcome<Explanation> explain(const ExplainQuery& query) = 0;
    [[nodiscard]] virtual EventRing& events() = 0;

    virtual boost::asio::awaitable<Outcome<Done>> change_backend(std::string upstream,
                                                                 std::string backend,
                                                                 BackendChange change,
                                                                 std::string actor) = 0;
    virtual boost::asio::awaitable<Outcome<void>> kill_session(proxy::ConnectionId id,
                                                               std::string actor) = 0;
    virtual boost::asio::awaitable<Outcome<Ending>> kill_backend(std::string upstream,
                                                                 std::string backend,
                                                                 KillOrder order,
                                                                 std::string actor) = 0;
    virtual boost::asio::awaitable<Outcome<Ending>> rebalance(std::string upstream,
                                                              RebalanceOrder order,
                                                              std::string actor) = 0;
    virtual boost::asio::awaitable<Outcome<Done>> pause(std::string upstream, Duration max,
                                                        std::string actor) = 0;
    virtual boost::asio::awaitable<Outcome<Done>> resume(std::string upstream,
                                                         std::string actor) = 0;
    virtual Outcome<void> split(const std::string& listener,
                                const std::map<std::string, std::uint32_t>& weights,
                                const std::string& actor) = 0;
    /// "" = the whole process.
    virtual Outcome<void> set_draining(const std::string& listener, bool draining,
                                       const std::string& actor) = 0;

    /// What a reload of that configuration would change. Its mistakes are part of the plan.
    virtual boost::asio::awaitable<Outcome<Plan>> plan(PlanRequest request) = 0;
    /// Refused only where nothing can be reloaded now; mistakes, and what could not be done, are
    /// part of the answer.
    virtual boost::asio::awaitable<Outcome<Reloaded>> reload(ReloadRequest request,
                                                             std::string actor) = 0;
    /// Answers when the new process is ready, or why there is none.
    virtual boost::asio::awaitable<Outcome<Upgraded>> upgrade(std::string actor) = 0;
};

}  // namespace penstock::admin
