#include "app/upgrade/old_processes.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "net/asio_words.hpp"

namespace penstock::app::upgrade {

namespace asio = boost::asio;
namespace json = boost::json;

using asio::awaitable;

namespace {

// What such a process is saying is said within a second.
constexpr auto longest_wait = std::chrono::seconds(3);

}  // namespace

void OldProcesses::add(OlderProcess last, net::UniqueFd channel) {
    const auto old = old_.emplace_back(
        std::make_shared<OldProcess>(context_, std::move(last), std::move(channel)));
    listen(old);
}

void OldProcesses::stop() {
    stopped_ = true;
    for (const OldPtr& old : old_) old->stop();
}

void OldProcesses::listen(const OldPtr& old) {
    asio::co_spawn(context_, hear(old), net::rethrow_failure);
}

awaitable<void> OldProcesses::hear(OldPtr old) {
    auto hearing = old->hear(log_);
    const auto heard = co_await std::move(hearing);
    if (heard == OldProcess::Heard::end && !stopped_) end(old);
}

void OldProcesses::end(const OldPtr& old) {
    gone_.add(old->process().last.ledger);
    log_.info("process {} (version {}), which this one has taken over from, has ended",
              old->process().pid, old->process().version);
    std::erase(old_, old);
    if (old_.empty() && on_empty_) on_empty_();
}

void OldProcesses::forget_gone(Ledger own, TimePoint now) {
    for (const OldPtr& old : old_) own += old->process().last.ledger;
    gone_.forget(own, now);
}

Ledger OldProcesses::ledger() const {
    Ledger sum = gone_.sum();
    for (const OldPtr& old : old_) sum += old->process().last.ledger;
    return sum;
}

Gauges OldProcesses::gauges() const {
    Gauges sum;
    for (const OldPtr& old : old_) sum += old->process().last.gauges;
    return sum;
}

std::uint64_t OldProcesses::memory() const {
    std::uint64_t sum = 0;
    for (const OldPtr& old : old_) sum += old->process().last.memory;
    return sum;
}

std::vector<admin::OldProcess> OldProcesses::views() const {
    std::vector<admin::OldProcess> all;
    for (const OldPtr& old : old_) {
        const auto& [pid, version, last] = old->process();
        admin::OldProcess view{
            .pid = pid, .version = version, .connections = last.gauges.connections};
        if (last.left) view.s_left = std::chrono::duration<double>(*last.left).count();
        all.push_back(std::move(view));
    }
    return all;
}

std::size_t OldProcesses::with_sessions() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        old_, [](const OldPtr& old) { return old->process().last.gauges.connections != 0; }));
}

Gauges OldProcesses::gauges_out_of_reach() const {
    Gauges sum;
    for (const OldPtr& old : old_)
        if (!old->process().last.takes_orders) sum += old->process().last.gauges;
    return sum;
}

awaitable<json::array> OldProcesses::sessions(const proxy::SessionFilter& filter) {
    json::array all;
    const auto asked = old_;  // one may end meanwhile
    std::vector<OldProcess::QuestionPtr> questions;
    for (const OldPtr& old : asked)
        questions.push_back(old->ask(SessionsRequest{.filter = filter}));
    auto question = questions.begin();
    for (const OldPtr& old : asked) {
        const auto mine = *question++;
        if (!mine) continue;
        auto answering = old->answer(mine);
        auto answer = co_await std::move(answering);
        auto* answered = answer ? std::get_if<SessionsAnswer>(&*answer) : nullptr;
        if (answered == nullptr) continue;
        for (auto& session : answered->sessions) {
            if (auto* object = session.if_object())
                (*object)["worker"] = fmt::format("old-{}", old->process().pid);
            all.push_back(std::move(session));
        }
    }
    co_return all;
}

awaitable<OrderReply> OldProcesses::reply_of(OldPtr old, OldProcess::QuestionPtr asked) {
    OrderReply reply{.pid = old->process().pid,
                     .version = old->process().version,
                     .gauges = old->process().last.gauges};
    if (!asked) co_return reply;
    auto answering = old->answer(std::move(asked));
    auto answer = co_await std::move(answering);
    auto* answered = answer ? std::get_if<OrderAnswer>(&*answer) : nullptr;
    if (answered != nullptr && answered->understood) reply.answer = std::move(*answered);
    co_return reply;
}

namespace {

// One that does not know orders would never answer.
OldProcess::QuestionPtr give(OldProcess& old, Order order) {
    return old.process().last.takes_orders ? old.ask(std::move(order)) : nullptr;
}

}  // namespace

awaitable<std::vector<OrderReply>> OldProcesses::order_all(Order order) {
    std::vector<Order> one;
    one.push_back(std::move(order));
    auto ordering = order_all_of(std::move(one));
    auto replies = co_await std::move(ordering);
    co_return std::move(replies.front());
}

awaitable<std::vector<std::vector<OrderReply>>> OldProcesses::order_all_of(
    std::vector<Order> orders) {
    const auto asked = old_;  // one may end meanwhile
    std::vector<std::pair<OldPtr, OldProcess::QuestionPtr>> questions;
    for (const Order& order : orders)
        for (const OldPtr& old : asked) questions.emplace_back(old, give(*old, order));
    std::vector<std::vector<OrderReply>> replies(orders.size());
    for (std::size_t i = 0; i < questions.size(); ++i) {
        auto replying = reply_of(questions[i].first, questions[i].second);
        auto reply = co_await std::move(replying);
        if (is_known(questions[i].first) || reply.answer)
            replies[i / asked.size()].push_back(std::move(reply));
    }
    co_return replies;
}

awaitable<std::vector<OrderReply>> OldProcesses::order_each(std::map<int, Order> orders) {
    std::vector<std::pair<OldPtr, OldProcess::QuestionPtr>> questions;
    for (const OldPtr& old : old_)
        if (const auto mine = orders.find(old->process().pid); mine != orders.end())
            questions.emplace_back(old, give(*old, std::move(mine->second)));
    std::vector<OrderReply> replies;
    for (const auto& [old, question] : questions) {
        auto replying = reply_of(old, question);
        auto reply = co_await std::move(replying);
        if (is_known(old) || reply.answer) replies.push_back(std::move(reply));
    }
    co_return replies;
}

awaitable<OldProcesses::Handover> OldProcesses::hand_over() {
    for (const OldPtr& old : old_) old->pause();
    const TimePoint deadline = SteadyClock().now() + longest_wait;
    Handover handover;
    std::vector<OldPtr> stuck;
    const auto all = old_;  // one may end meanwhile
    for (const OldPtr& old : all) {
        auto pausing = old->is_paused_by(deadline);
        const bool paused = co_await std::move(pausing);
        if (!is_known(old)) continue;
        auto channel = paused ? old->duplicate() : net::UniqueFd();
        if (!channel) {  // stuck, or no descriptor is left: what it has counted is not lost
            stuck.push_back(old);
            continue;
        }
        handover.older.push_back(old->process());
        handover.channels.push_back(std::move(channel));
    }
    handover.gone += gone_.sum();
    for (const OldPtr& old : stuck)
        if (is_known(old)) handover.gone += old->process().last.ledger;
    co_return handover;
}

bool OldProcesses::is_known(const OldPtr& old) const {
    return std::ranges::find(old_, old) != old_.end();
}

void OldProcesses::take_back() {
    for (const OldPtr& old : old_)
        if (old->go_on()) listen(old);
}

}  // namespace penstock::app::upgrade
