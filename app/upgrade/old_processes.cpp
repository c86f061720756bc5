#include "app/upgrade/old_processes.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "net/asio_words.hpp"

namespace penstock::app::upgrade {

namespace asio = boost::asio;
namespace json = boost::json;

using asio::awaitable;

namespace {

// Longer than such a process waits for a worker of its own that is stuck.
constexpr auto longest_wait = std::chrono::seconds(3);

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
    asio::co_spawn(context_, receive(old), net::rethrow_failure);
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
    } else if (const auto* sessions = std::get_if<SessionsAnswer>(&*message)) {
        const auto number = sessions->number;
        take_answer(old, number, *std::move(message));
    } else if (const auto* done = std::get_if<OrderAnswer>(&*message)) {
        const auto number = done->number;
        take_answer(old, number, *std::move(message));
    }
}

void OldProcesses::take_answer(Old& old, std::uint64_t number, Message answer) {
    if (number != old.asked) return;
    old.answer = std::move(answer);
    old.answered.cancel();
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

Gauges OldProcesses::gauges_out_of_reach() const {
    Gauges sum;
    for (const OldPtr& old : old_)
        if (!old->process.last.takes_orders) sum += old->process.last.gauges;
    return sum;
}

awaitable<std::optional<Message>> OldProcesses::ask(OldPtr old, Message question) {
    while (old->asking && is_known(old)) {  // somebody else does
        auto waiting = old->answered.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    if (!is_known(old) || old->paused || stopped_) co_return std::nullopt;
    const Asking asking(*old);
    old->answer.reset();
    const std::uint64_t number = ++old->asked;
    if (auto* request = std::get_if<SessionsRequest>(&question)) request->number = number;
    if (auto* order = std::get_if<Order>(&question)) order->number = number;
    const TimePoint deadline = SteadyClock().now() + longest_wait;
    old->answered.expires_at(net::to_asio(deadline));  // whoever comes meanwhile waits for it, too
    auto sending = old->channel.send(encode(question), {}, deadline);
    const auto sent = co_await std::move(sending);
    if (!sent) co_return std::nullopt;
    while (!old->answer && SteadyClock().now() < deadline && is_known(old) && !old->paused &&
           !stopped_) {
        auto waiting = old->answered.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    co_return std::exchange(old->answer, std::nullopt);
}

awaitable<json::array> OldProcesses::sessions(const proxy::SessionFilter& filter) {
    json::array all;
    const auto asked = old_;  // one may end meanwhile
    for (const OldPtr& old : asked) {
        Message question = SessionsRequest{.filter = filter};
        auto asking = ask(old, std::move(question));
        auto answer = co_await std::move(asking);
        auto* answered = answer ? std::get_if<SessionsAnswer>(&*answer) : nullptr;
        if (answered == nullptr) continue;
        for (auto& session : answered->sessions) {
            if (auto* object = session.if_object())
                (*object)["worker"] = fmt::format("old-{}", old->process.pid);
            all.push_back(std::move(session));
        }
    }
    co_return all;
}

// One that does not know orders would never answer.
awaitable<OrderReply> OldProcesses::order(OldPtr old, Order order) {
    OrderReply reply{.pid = old->process.pid,
                     .version = old->process.version,
                     .gauges = old->process.last.gauges};
    if (!old->process.last.takes_orders) co_return reply;
    Message question = std::move(order);
    auto asking = ask(old, std::move(question));
    auto answer = co_await std::move(asking);
    auto* answered = answer ? std::get_if<OrderAnswer>(&*answer) : nullptr;
    if (answered != nullptr && answered->understood) reply.answer = std::move(*answered);
    co_return reply;
}

awaitable<std::vector<OrderReply>> OldProcesses::order_all(Order order) {
    std::map<int, Order> orders;
    for (const OldPtr& old : old_) orders.emplace(old->process.pid, order);
    auto ordering = order_each(std::move(orders));
    co_return co_await std::move(ordering);
}

awaitable<std::vector<OrderReply>> OldProcesses::order_each(std::map<int, Order> orders) {
    std::vector<OrderReply> replies;
    const auto asked = old_;  // one may end meanwhile
    for (const OldPtr& old : asked) {
        const auto mine = orders.find(old->process.pid);
        if (mine == orders.end()) continue;
        auto ordering = order(old, std::move(mine->second));
        auto reply = co_await std::move(ordering);
        if (is_known(old) || reply.answer) replies.push_back(std::move(reply));
    }
    co_return replies;
}

awaitable<OldProcesses::Handover> OldProcesses::hand_over() {
    for (const OldPtr& old : old_) old->pausing = true;
    const TimePoint deadline = SteadyClock().now() + longest_wait;
    Handover handover;
    std::vector<OldPtr> stuck;
    const auto all = old_;  // one may end meanwhile
    for (const OldPtr& old : all) {
        old->answered.expires_at(net::to_asio(deadline));
        while (old->pausing && SteadyClock().now() < deadline && !stopped_ && is_known(old)) {
            auto waiting = old->answered.async_wait(net::as_result);
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
