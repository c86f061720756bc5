#include "app/upgrade/old_process.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <boost/asio/co_spawn.hpp>

#include "net/asio_words.hpp"

namespace penstock::app::upgrade {

namespace asio = boost::asio;

using asio::awaitable;

namespace {

// Longer than such a process waits for a worker of its own that is stuck.
constexpr Duration longest_wait = std::chrono::seconds(3);
// What is not to last has no effect when nobody waits for its answer any more.
constexpr Duration longest_effect = longest_wait - std::chrono::milliseconds(500);
// One that stands still is told no more than this; each is a few hundred bytes.
constexpr std::size_t longest_outbox = 20'000;

// What an operator or a reload wants to be so from now on.
bool is_to_last(const Message& message) noexcept {
    const auto* order = std::get_if<Order>(&message);
    using enum Order::Kind;
    return order != nullptr && (order->kind == change_backend || order->kind == drain_listener ||
                                order->kind == pause || order->kind == resume);
}

}  // namespace

OldProcess::OldProcess(asio::io_context& context, OlderProcess last, net::UniqueFd channel)
    : context_(context),
      process_(std::move(last)),
      channel_(context, std::move(channel)),
      turned_(context) {}

// --- hearing ------------------------------------------------------------------------------------

awaitable<OldProcess::Heard> OldProcess::hear(Logger& log) {
    const auto self = shared_from_this();
    while (!ended_) {
        auto receiving = channel_.receive(no_deadline);
        auto message = co_await std::move(receiving);
        if (!message) break;
        take(message->bytes, log);
        // Between two messages: nothing of the next one has been read.
        if (!pausing_) continue;
        hearing_ = false;
        turned_.cancel();
        co_return Heard::pause;
    }
    hearing_ = false;
    stop();
    co_return Heard::end;
}

void OldProcess::take(std::string_view text, Logger& log) {
    auto message = decode(text);
    if (!message)
        return log.warn("process {}, which drains, says something that cannot be understood: {}",
                        process_.pid, message.error());
    if (auto* figures = std::get_if<Figures>(&*message)) {
        process_.last = std::move(*figures);
    } else if (const auto* sessions = std::get_if<SessionsAnswer>(&*message)) {
        const auto number = sessions->number;
        take_answer(number, *std::move(message));
    } else if (const auto* done = std::get_if<OrderAnswer>(&*message)) {
        const auto number = done->number;
        take_answer(number, *std::move(message));
    }
}

void OldProcess::take_answer(std::uint64_t number, Message answer) {
    answered_ = SteadyClock().now();
    const auto found = open_.find(number);
    if (found == open_.end()) return;
    found->second->answer = std::move(answer);
    found->second->answered.cancel();
}

// --- asking -------------------------------------------------------------------------------------

OldProcess::QuestionPtr OldProcess::ask(Message message) {
    if (ended_ || pausing_ || outbox_.size() >= longest_outbox) return nullptr;
    const auto question = std::make_shared<Question>(context_);
    question->number = ++last_number_;
    question->asked = SteadyClock().now();
    if (auto* request = std::get_if<SessionsRequest>(&message)) request->number = question->number;
    if (auto* order = std::get_if<Order>(&message)) {
        order->number = question->number;
        if (!is_to_last(message)) order->valid_until = question->asked + longest_effect;
    }
    open_.emplace(question->number, question);
    outbox_.push_back({question->number, std::move(message)});
    send_soon();
    return question;
}

awaitable<std::optional<Message>> OldProcess::answer(QuestionPtr question) {
    const auto self = shared_from_this();
    while (!question->answer && !question->given_up) {
        const TimePoint deadline = std::max(question->asked, answered_) + longest_wait;
        if (SteadyClock().now() >= deadline) break;
        question->answered.expires_at(net::to_asio(deadline));
        auto waiting = question->answered.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    forget(*question);
    co_return std::exchange(question->answer, std::nullopt);
}

// Nobody waits for its answer; what has not been sent, and is not to last, need not be any more.
void OldProcess::forget(const Question& question) {
    open_.erase(question.number);
    const auto unsent = std::ranges::find(outbox_, question.number, &Outgoing::number);
    if (unsent != outbox_.end() && !is_to_last(unsent->message)) outbox_.erase(unsent);
}

void OldProcess::send_soon() {
    if (sending_ || outbox_.empty()) return;
    sending_ = true;
    asio::co_spawn(context_, send_all(), net::rethrow_failure);
}

awaitable<void> OldProcess::send_all() {
    const auto self = shared_from_this();
    while (!outbox_.empty() && !ended_) {
        auto text = encode(outbox_.front().message);
        outbox_.pop_front();
        auto sending = channel_.send(std::move(text), {}, no_deadline);
        const auto sent = co_await std::move(sending);
        if (!sent) break;  // hear() learns of it, too
    }
    sending_ = false;
    turned_.cancel();
}

void OldProcess::give_up_all() {
    for (const auto& [number, question] : open_) {
        question->given_up = true;
        question->answered.cancel();
    }
}

// --- handing on ---------------------------------------------------------------------------------

void OldProcess::pause() noexcept { pausing_ = true; }

awaitable<bool> OldProcess::is_paused_by(TimePoint deadline) {
    const auto self = shared_from_this();
    while ((hearing_ || sending_) && !ended_ && SteadyClock().now() < deadline) {
        turned_.expires_at(net::to_asio(deadline));
        auto waiting = turned_.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    give_up_all();
    co_return !hearing_ && !sending_ && !ended_;
}

bool OldProcess::go_on() {
    pausing_ = false;
    send_soon();
    if (hearing_ || ended_) return false;
    hearing_ = true;
    return true;
}

void OldProcess::stop() {
    ended_ = true;
    channel_.close();
    give_up_all();
    turned_.cancel();
}

}  // namespace penstock::app::upgrade
