#include "health/check_gate.hpp"

#include "net/asio_words.hpp"

namespace penstock::health {

namespace asio = boost::asio;

asio::awaitable<bool> CheckGate::enter() {
    if (closed_) co_return false;
    if (inside_ < most) {
        ++inside_;
        co_return true;
    }
    Waiter self(context_);
    const auto place = waiting_.insert(waiting_.end(), &self);
    self.timer.expires_at(net::to_asio(no_deadline));
    co_await self.timer.async_wait(net::as_result);
    if (!self.let_in) waiting_.erase(place);
    co_return self.let_in;
}

void CheckGate::leave() noexcept {
    if (waiting_.empty()) {
        --inside_;
        return;
    }
    Waiter& next = *waiting_.front();
    waiting_.pop_front();
    next.let_in = true;
    next.timer.cancel();
}

void CheckGate::close() noexcept {
    closed_ = true;
    for (Waiter* waiter : waiting_) waiter->timer.cancel();
}

}  // namespace penstock::health
