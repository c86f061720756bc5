#include "app/upgrade/old_processes.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <fmt/format.h>

#include "app/control.hpp"

namespace penstock::app::upgrade {

namespace asio = boost::asio;
namespace json = boost::json;

using asio::awaitable;

namespace {

constexpr auto as_result = asio::as_tuple(asio::deferred);
constexpr auto longest_wait = std::chrono::seconds(2);

}  // namespace

void OldProcesses::add(OlderProcess last, net::UniqueFd channel) {
    const auto old =
        old_.emplace_back(std::make_shared<Old>(context_, std::move(last), std::move(channel)));
    listen(old);
}

void OldProcesses::stop() {
    stopped_ = true;
    for (const OldPtr& old : old_) {
        old->channel.close();
        old->answered.cancel();
    }
}

void OldProcesses::listen(const OldPtr& old) {
    asio::co_spawn(context_, receive(old), rethrow_failure);
}

awaitable<void> OldProcesses::receive(OldPtr old) {
    for (;;) {
        auto receiving = old->channel.receive(no_deadline);
        auto message = co_await std::move(receiving);
        if (stopped_) co_return;
        if (!message) {
            end(old);
            co_return;
        }
        take(*old, message->bytes);
        // Between two messages: nothing of the next one has been read.
        if (std::exchange(old->pausing, false)) {
            old->paused = true;
            old->answered.cancel();
            co_return;
        }
    }
}

void OldProcesses::take(Old& old, std::string_view text) {
    auto message = decode(text);
    if (!message)
        return log_.warn("process {}, which drains, says something that cannot be understood: {}",
                         old.process.pid, message.error());
    if (auto* figures = std::get_if<Figures>(&*message)) {
        old.process.last = std::move(*figures);
    } else if (auto* answer = std::get_if<SessionsAnswer>(&*message)) {
        if (answer->number != old.asked) return;
        old.answer = std::move(answer->sessions);
        old.answered.cancel();
    }
}

void OldProcesses::end(const OldPtr& old) {
    gone_.add(old->process.last.ledger);
    log_.info("process {} (version {}), which this one has taken over from, has ended",
              old->process.pid, old->process.version);
    std::erase(old_, old);
    old->answered.cancel();
    if (old_.empty() && on_empty_) on_empty_();
}

void OldProcesses::forget_gone(Ledger own, TimePoint now) {
    for (const OldPtr& old : old_) own += old->process.last.ledger;
    gone_.forget(own, now);
}

Ledger OldProcesses::ledger() const {
    Ledger sum = gone_.sum();
    for (const OldPtr& old : old_) sum += old->process.last.ledger;
    return sum;
}

Gauges OldProcesses::gauges() const {
    Gauges sum;
    for (const OldPtr& old : old_) sum += old->process.last.gauges;
    return sum;
}

std::vector<admin::OldProcess> OldProcesses::views() const {
    std::vector<admin::OldProcess> all;
    for (const OldPtr& old : old_) {
        const auto& [pid, version, last] = old->process;
        admin::OldProcess view{
            .pid = pid, .version = version, .connections = last.gauges.connections};
        if (last.left) view.s_left = std::chrono::duration<double>(*last.left).count();
        all.push_back(std::move(view));
    }
    return all;
}

std::size_t OldProcesses::with_sessions() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        old_, [](const OldPtr& old) { return old->process.last.gauges.connections != 0; }));
}

awaitable<json::array> OldProcesses::sessions(const proxy::SessionFilter& filter) {
    json::array all;
    const auto asked = old_;  // one may end meanwhile
    for (const OldPtr& old : asked) {
        while (old->asking && is_known(old)) {  // somebody else does
            auto waiting = old->answered.async_wait(as_result);
            co_await std::move(waiting);
        }
        if (!is_known(old) || old->paused) continue;
        const Asking asking(*old);
        old->answer.reset();
        const std::string request = encode(SessionsRequest{++old->asked, filter});
        const TimePoint deadline = SteadyClock().now() + longest_wait;
        auto sending = old->channel.send(request, {}, deadline);
        const auto sent = co_await std::move(sending);
        if (!sent) continue;
        old->answered.expires_at(to_asio(deadline));
        if (!old->answer) {
            auto waiting = old->answered.async_wait(as_result);
            co_await std::move(waiting);
        }
        if (!old->answer) continue;
        for (auto& session : *old->answer) {
            if (auto* object = session.if_object())
                (*object)["worker"] = fmt::format("old-{}", old->process.pid);
            all.push_back(std::move(session));
        }
    }
    co_return all;
}

awaitable<OldProcesses::Handover> OldProcesses::hand_over() {
    for (const OldPtr& old : old_) old->pausing = true;
    const TimePoint deadline = SteadyClock().now() + longest_wait;
    Handover handover;
    std::vector<OldPtr> stuck;
    const auto all = old_;  // one may end meanwhile
    for (const OldPtr& old : all) {
        old->answered.expires_at(to_asio(deadline));
        while (old->pausing && SteadyClock().now() < deadline && !stopped_ && is_known(old)) {
            auto waiting = old->answered.async_wait(as_result);
            co_await std::move(waiting);
        }
        if (!is_known(old)) continue;
        auto channel = old->paused ? old->channel.duplicate() : net::UniqueFd();
        if (!channel) {  // stuck, or no descriptor is left: what it has counted is not lost
            stuck.push_back(old);
            continue;
        }
        handover.older.push_back(old->process);
        handover.channels.push_back(std::move(channel));
    }
    handover.gone += gone_.sum();
    for (const OldPtr& old : stuck)
        if (is_known(old)) handover.gone += old->process.last.ledger;
    co_return handover;
}

bool OldProcesses::is_known(const OldPtr& old) const {
    return std::ranges::find(old_, old) != old_.end();
}

void OldProcesses::take_back() {
    for (const OldPtr& old : old_) {
        old->pausing = false;
        if (std::exchange(old->paused, false)) listen(old);
    }
}

}  // namespace penstock::app::upgrade
