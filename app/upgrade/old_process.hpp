#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "app/upgrade/messages.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "net/fd_channel.hpp"

namespace penstock::app::upgrade {

/// One process that drains, to the one that listens to it. What it is told goes out in the order in
/// which it was said, without waiting for answers: nothing overtakes anything, and one that does
/// not answer keeps nobody longer than three seconds. Control thread; the coroutines hold it.
class OldProcess : public std::enable_shared_from_this<OldProcess> {
public:
    /// `last`: what it said last. The context must outlive the object.
    OldProcess(boost::asio::io_context& context, OlderProcess last, net::UniqueFd channel);

    [[nodiscard]] const OlderProcess& process() const noexcept { return process_; }

    enum class Heard { end, pause };
    /// Hears it until it has ended, nobody wants to hear it any more, or pause().
    [[nodiscard]] boost::asio::awaitable<Heard> hear(Logger& log);

    /// Something that it was asked.
    struct Question {
        explicit Question(boost::asio::io_context& context) : answered(context) {}
        std::uint64_t number = 0;
        TimePoint asked{};
        boost::asio::steady_timer answered;
        std::optional<Message> answer{};
        bool given_up = false;
    };
    using QuestionPtr = std::shared_ptr<Question>;
    /// The message is given the number that its answer has to have, and how long it counts. An
    /// order that changes what is to last is sent in any case, and obeyed when the process wakes.
    /// nullptr: it cannot be asked.
    [[nodiscard]] QuestionPtr ask(Message question);
    /// Nothing: for three seconds since the question, or since its last answer to anybody, it has
    /// said nothing.
    [[nodiscard]] boost::asio::awaitable<std::optional<Message>> answer(QuestionPtr question);

    /// For another process that is to go on with it: hear() ends after the message that is on its
    /// way, and nothing is sent any more.
    void pause() noexcept;
    /// False: it is in the middle of something at that time.
    [[nodiscard]] boost::asio::awaitable<bool> is_paused_by(TimePoint deadline);
    /// True: hear() has to be called again.
    [[nodiscard]] bool go_on();
    [[nodiscard]] net::UniqueFd duplicate() const noexcept { return channel_.duplicate(); }
    /// Nobody hears or asks it any more.
    void stop();

private:
    struct Outgoing {
        std::uint64_t number = 0;
        Message message{};
    };

    void take(std::string_view text, Logger& log);
    void take_answer(std::uint64_t number, Message answer);
    void send_soon();
    boost::asio::awaitable<void> send_all();
    void give_up_all();
    void forget(const Question& question);

    boost::asio::io_context& context_;
    OlderProcess process_;
    net::FdChannel channel_;
    boost::asio::steady_timer turned_;  // cancelled when hearing or sending has come to a stop
    std::deque<Outgoing> outbox_;
    std::map<std::uint64_t, QuestionPtr> open_;  // that wait for an answer
    std::uint64_t last_number_ = 0;
    TimePoint answered_{};  // anybody
    bool sending_ = false;
    bool hearing_ = true;  // or about to
    bool pausing_ = false;
    bool ended_ = false;
};

}  // namespace penstock::app::upgrade
