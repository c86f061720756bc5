#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <utility>

#include "net/event_loop.hpp"
#include "net/socket.hpp"
#include "proxy/flow.hpp"

namespace penstock::proxy {

/// How much one wake-up may move before others have their turn.
inline constexpr std::size_t byte_budget = 512 * 1024;
inline constexpr unsigned message_budget = 32;

namespace detail {

// The latches of a stream are those of its socket.
template <net::Stream S>
net::Watch& watch_of(S& stream) noexcept {
    if constexpr (requires { stream.socket(); })
        return stream.socket();
    else
        return stream;
}
// A stream that decrypts may hold bytes that no event tells of.
template <net::Stream S>
bool may_read(S& stream) noexcept {
    if constexpr (requires { stream.may_read(); })
        return stream.may_read();
    else
        return stream.readable.ready();
}
template <net::Stream S>
Step wait_readable(S& from) noexcept {
    return {StepKind::wait, net::WaitRole::reader, &watch_of(from).readable};
}
template <net::Stream S>
Step wait_writable(S& to) noexcept {
    return {StepKind::wait, net::WaitRole::writer, &watch_of(to).writable};
}
// What a stream asked for, seen from the pump that called it in `role`.
template <net::Stream S>
Step wait_for(net::IoStatus status, S& stream, net::WaitRole role) noexcept {
    net::Watch& watch = watch_of(stream);
    return {StepKind::wait, role,
            status == net::IoStatus::want_read ? &watch.readable : &watch.writable};
}

}  // namespace detail

/// Moves bytes from one stream to another until something has to be waited for, the budget is used
/// up, or the direction ends. Everything that was read is delivered before anything else is read,
/// so that an end of stream is never seen with bytes still held. Never moves more than `allowance`,
/// which must cover what the flow holds.
template <net::Stream From, net::Stream To>
class Mover {
public:
    static constexpr bool can_splice =
        std::same_as<From, net::Socket> && std::same_as<To, net::Socket>;

    Mover(net::EventLoop& loop, Flow& flow, From& from, To& to,
          std::size_t allowance = unlimited) noexcept
        : loop_(loop),
          flow_(flow),
          from_(from),
          to_(to),
          allowance_(allowance),
          budget_(std::min(allowance, byte_budget)) {}

    Step run() noexcept {
        for (unsigned messages = 0;; ++messages) {
            if (!flow_.empty())
                if (const Step step = deliver(); step.kind != StepKind::yield) return step;
            if (moved_ >= budget_ || messages >= message_budget) return rest();
            if (!detail::may_read(from_)) {
                if (flow_.pipe != nullptr) return_pipe();
                return detail::wait_readable(from_);
            }
            if (const Step step = read_on(); step.kind != StepKind::yield) return step;
        }
    }

    /// Sends what the flow holds; `yield` means that all of it went.
    Step deliver() noexcept {
        while (flow_.rest != nullptr) {
            if (!detail::watch_of(to_).writable.ready()) return detail::wait_writable(to_);
            const auto sent = to_.send(flow_.rest->pending());
            if (sent.status == net::IoStatus::error) return {StepKind::write_failed};
            if (!sent.ok()) return detail::wait_for(sent.status, to_, net::WaitRole::writer);
            account(sent.bytes);
            flow_.rest->consume(sent.bytes);
            if (flow_.rest->pending().empty())
                loop_.buffers().give_back(std::exchange(flow_.rest, nullptr));
        }
        if constexpr (can_splice) {
            while (flow_.pipe != nullptr && flow_.pipe->size() > 0) {
                const auto sent = to_.splice_out(*flow_.pipe);
                if (sent.status == net::IoStatus::error) return {StepKind::write_failed};
                if (!sent.ok()) return detail::wait_writable(to_);
                account(sent.bytes);
            }
        }
        return go_on;
    }

    /// Bytes that the receiving socket accepted so far.
    [[nodiscard]] std::size_t moved() const noexcept { return moved_; }

private:
    static constexpr Step go_on{StepKind::yield};
    static constexpr std::size_t unlimited = ~std::size_t{0};

    Step rest() noexcept {
        if (moved_ < allowance_) return {StepKind::yield};
        if (flow_.pipe != nullptr) return_pipe();
        return {StepKind::pause};
    }

    [[nodiscard]] std::size_t within_allowance(std::size_t size) const noexcept {
        return std::min(size, allowance_ - moved_);
    }

    void account(std::size_t bytes) noexcept {
        flow_.bytes += bytes;
        moved_ += bytes;
    }

    Step read_on() noexcept {
        if constexpr (can_splice) {
            if (flow_.mode.wants_splice() && have_pipe()) return splice();
        }
        const std::size_t size = flow_.mode.read_size();
        return loop_.buffers().has_room_for(size) ? copy(size) : copy_without_buffer(size);
    }

    Step copy(std::size_t size) noexcept {
        const auto buffer = loop_.scratch().first(within_allowance(size));
        const auto got = from_.recv(buffer);
        if (!got.ok()) return read_result(got);
        flow_.mode.on_read(got.bytes, size);
        const std::span<const std::byte> bytes = buffer.first(got.bytes);
        const auto sent = to_.send(bytes);
        if (sent.status == net::IoStatus::error) return {StepKind::write_failed};
        account(sent.bytes);
        if (sent.bytes == got.bytes) return go_on;
        const auto left = bytes.subspan(sent.bytes);
        flow_.rest = loop_.buffers().take(left.size());  // there is room: read_on() has asked
        flow_.rest->assign(left);
        return go_on;
    }

    // At the cap of the pool: look, send, and take out only what was sent.
    Step copy_without_buffer(std::size_t size) noexcept {
        const auto buffer = loop_.scratch().first(within_allowance(size));
        const auto got = from_.peek(buffer);
        if (!got.ok()) return read_result(got);
        const auto sent = to_.send(std::span<const std::byte>(buffer).first(got.bytes));
        if (sent.status == net::IoStatus::error) return {StepKind::write_failed};
        if (!sent.ok()) return detail::wait_for(sent.status, to_, net::WaitRole::writer);
        account(sent.bytes);
        for (std::size_t left = sent.bytes; left > 0;) {
            const auto taken = from_.discard(left);
            if (!taken.ok()) return {StepKind::read_failed};
            left -= taken.bytes;
        }
        return go_on;
    }

    // The pipe is empty here. An end or an empty queue is believed only when recv() says so.
    Step splice() noexcept {
        const auto got = from_.splice_in(*flow_.pipe, within_allowance(flow_.pipe->room()));
        if (got.ok()) {
            flow_.mode.on_splice(got.bytes);
            return go_on;
        }
        if (got.status == net::IoStatus::error) return {StepKind::read_failed};
        const std::size_t size = net::BufferPool::small;
        return loop_.buffers().has_room_for(size) ? copy(size) : copy_without_buffer(size);
    }

    bool have_pipe() noexcept {
        if (flow_.pipe == nullptr) flow_.pipe = loop_.pipes().take();
        return flow_.pipe != nullptr;
    }

    void return_pipe() noexcept {
        loop_.pipes().give_back(std::exchange(flow_.pipe, nullptr), loop_.now());
    }

    Step read_result(net::IoResult result) noexcept {
        if (result.status == net::IoStatus::eof) return {StepKind::end_of_stream};
        if (result.status == net::IoStatus::error) return {StepKind::read_failed};
        if (flow_.pipe != nullptr) return_pipe();
        return detail::wait_for(result.status, from_, net::WaitRole::reader);
    }

    net::EventLoop& loop_;
    Flow& flow_;
    From& from_;
    To& to_;
    std::size_t allowance_;
    std::size_t budget_;
    std::size_t moved_ = 0;
};

}  // namespace penstock::proxy
