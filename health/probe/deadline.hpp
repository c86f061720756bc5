#pragma once

#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"

namespace penstock::health {

/// Calls a function once when a deadline passes, unless it is destroyed before: what ends a
/// coroutine's waiting, by closing what it waits on. When the thread was late by more than
/// `stall`, the function gets a further `stall` first, so that what arrived meanwhile is handled
/// before anything is judged late. One thread: that of the io_context, which it keeps busy.
class Deadline {
public:
    static constexpr Duration stall = std::chrono::milliseconds(100);

    Deadline(boost::asio::io_context& context, TimePoint at, std::function<void()> on_expiry);
    ~Deadline();
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    [[nodiscard]] bool expired() const noexcept;

private:
    struct State;
    static void wait(const std::shared_ptr<State>& state);
    std::shared_ptr<State> state_;
};

}  // namespace penstock::health
