#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include "net/event_loop.hpp"

namespace penstock::net {

/// An EventLoop as Asio sees it: boost::asio::post(context.get_executor(), f) runs f on the loop's
/// thread. It is how the control plane's coroutines and handlers talk to workers.
class LoopContext : public boost::asio::execution_context {
public:
    class executor_type;

    /// `loop` must outlive the context.
    explicit LoopContext(EventLoop& loop) noexcept : loop_(loop) {}
    ~LoopContext() {
        shutdown();
        destroy();
    }

    [[nodiscard]] executor_type get_executor() noexcept;
    [[nodiscard]] EventLoop& loop() noexcept { return loop_; }

private:
    EventLoop& loop_;
};

class LoopContext::executor_type {
public:
    explicit executor_type(LoopContext& context) noexcept : context_(&context) {}

    template <typename F>
    void execute(F function) const {
        context_->loop().send(std::move(function));
    }

    [[nodiscard]] LoopContext& query(boost::asio::execution::context_t) const noexcept {
        return *context_;
    }
    [[nodiscard]] static constexpr boost::asio::execution::blocking_t query(
        boost::asio::execution::blocking_t) noexcept {
        return boost::asio::execution::blocking.never;
    }
    [[nodiscard]] executor_type require(
        boost::asio::execution::blocking_t::never_t) const noexcept {
        return *this;
    }

    friend bool operator==(const executor_type&, const executor_type&) noexcept = default;

private:
    LoopContext* context_;
};

inline LoopContext::executor_type LoopContext::get_executor() noexcept {
    return executor_type(*this);
}

static_assert(boost::asio::execution::is_executor<LoopContext::executor_type>::value);

}  // namespace penstock::net
