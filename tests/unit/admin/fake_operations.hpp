#pragma once

#include <string>
#include <utility>
#include <vector>

#include "admin/operations.hpp"

namespace penstock::test {

/// A proxy that does nothing but remember what it was asked for.
class FakeOperations final : public admin::Operations {
public:
    admin::Overview view{};
    std::vector<proxy::SessionInfo> live{};
    std::vector<proxy::ClosedLine> ended{};
    std::optional<admin::Refusal> refusal{};  // of every change
    std::vector<std::string> done{};          // each change, in short
    proxy::SessionFilter asked_sessions{};
    proxy::ClosedFilter asked_closes{};
    admin::PlanRequest asked_plan{};
    admin::Plan planned{};       // what plan() and reload() find
    std::string reload_error{};  // why reload() did not do it

    admin::Overview overview() override { return view; }
    int shown_elsewhere = 0;
    boost::asio::awaitable<std::string> shown(Show show) override {
        ++shown_elsewhere;
        co_return show(view);
    }
    boost::json::array old{};  // sessions of old processes
    boost::asio::awaitable<boost::json::array> old_sessions(proxy::SessionFilter) override {
        co_return old;
    }
    boost::asio::awaitable<std::vector<proxy::SessionInfo>> sessions(
        proxy::SessionFilter filter) override {
        asked_sessions = std::move(filter);
        co_return live;
    }
    boost::asio::awaitable<std::vector<proxy::ClosedLine>> closes(
        proxy::ClosedFilter filter) override {
        asked_closes = std::move(filter);
        co_return ended;
    }
    std::string configuration() override { return "[process]\n"; }
    admin::ExplainQuery asked_explain{};
    admin::Outcome<admin::Explanation> explain(const admin::ExplainQuery& query) override {
        asked_explain = query;
        if (query.listener != "web")
            return std::unexpected(admin::Refusal{404, "there is no listener"});
        admin::Explanation explanation;
        explanation.listener = query.listener;
        explanation.chosen = query.source ? query.source->to_string() : "a";
        return explanation;
    }
    [[nodiscard]] admin::EventRing& events() override { return ring_; }

    std::vector<std::string> notes{};  // of what old processes have not done
    boost::asio::awaitable<admin::Outcome<admin::Done>> change_backend(std::string upstream,
                                                                       std::string backend,
                                                                       admin::BackendChange change,
                                                                       std::string actor) override {
        std::string what = change.reset ? "reset" : "";
        if (change.state) what += "state " + std::to_string(static_cast<int>(*change.state));
        if (change.weight) what += "weight " + std::to_string(*change.weight);
        co_return and_notes(upstream + "/" + backend + " " + what + " by " + actor);
    }
    boost::asio::awaitable<admin::Outcome<void>> kill_session(proxy::ConnectionId id,
                                                              std::string actor) override {
        co_return note("kill " + proxy::to_string(id) + " by " + actor);
    }
    boost::asio::awaitable<admin::Outcome<admin::Ending>> kill_backend(
        std::string upstream, std::string backend, admin::KillOrder order,
        std::string /*actor*/) override {
        const auto noted =
            note("kill " + upstream + "/" + backend + (order.dry_run ? " dry" : "") + " over " +
                 std::to_string(order.over / std::chrono::milliseconds(1)));
        if (!noted) co_return std::unexpected(noted.error());
        co_return admin::Ending{.sessions = 10, .closing = 5};
    }
    boost::asio::awaitable<admin::Outcome<admin::Ending>> rebalance(std::string upstream,
                                                                    admin::RebalanceOrder order,
                                                                    std::string) override {
        const auto noted = note("rebalance " + upstream + (order.dry_run ? " dry" : ""));
        if (!noted) co_return std::unexpected(noted.error());
        co_return admin::Ending{.sessions = 10, .closing = 2, .per_backend = {{"a", 2}}};
    }
    boost::asio::awaitable<admin::Outcome<admin::Done>> pause(std::string upstream, Duration max,
                                                              std::string) override {
        co_return and_notes("pause " + upstream + " " +
                            std::to_string(max / std::chrono::seconds(1)));
    }
    boost::asio::awaitable<admin::Outcome<admin::Done>> resume(std::string upstream,
                                                               std::string) override {
        co_return and_notes("resume " + upstream);
    }
    admin::Outcome<void> split(const std::string& listener,
                               const std::map<std::string, std::uint32_t>& weights,
                               const std::string&) override {
        std::string what = "split " + listener;
        for (const auto& [name, weight] : weights)
            what += " " + name + "=" + std::to_string(weight);
        return note(what);
    }
    admin::Outcome<void> set_draining(const std::string& listener, bool draining,
                                      const std::string&) override {
        return note((draining ? "drain '" : "undrain '") + listener + "'");
    }

    boost::asio::awaitable<admin::Outcome<admin::Plan>> plan(admin::PlanRequest request) override {
        asked_plan = std::move(request);
        if (refusal) co_return std::unexpected(*refusal);
        co_return planned;
    }
    boost::asio::awaitable<admin::Outcome<admin::Reloaded>> reload(admin::ReloadRequest request,
                                                                   std::string actor) override {
        const auto noted = note("reload '" + request.expect + "' by " + actor);
        if (!noted) co_return std::unexpected(noted.error());
        co_return admin::Reloaded{.plan = planned, .error = reload_error};
    }
    boost::asio::awaitable<admin::Outcome<admin::Upgraded>> upgrade(std::string actor) override {
        const auto noted = note("upgrade by " + actor);
        if (!noted) co_return std::unexpected(noted.error());
        co_return admin::Upgraded{.pid = 4711, .version = "1.1.0", .sessions = 12};
    }

private:
    admin::Outcome<admin::Done> and_notes(std::string what) {
        if (auto result = note(std::move(what)); !result) return std::unexpected(result.error());
        return admin::Done{notes};
    }
    admin::Outcome<void> note(std::string what) {
        if (refusal) return std::unexpected(*refusal);
        done.push_back(std::move(what));
        return {};
    }

    admin::EventRing ring_;
};

}  // namespace penstock::test
