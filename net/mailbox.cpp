#include "net/mailbox.hpp"

#include <cstdint>

#include <sys/eventfd.h>

#include "base/error.hpp"

namespace penstock::net {

Mailbox::Mailbox() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!event_) throw std::system_error(last_error(), "eventfd");
}

Mailbox::~Mailbox() {
    for (Mail* mail = take_in_order(); mail != nullptr;) delete std::exchange(mail, mail->next_);
}

void Mailbox::send(std::unique_ptr<Mail> mail) noexcept {
    Mail* added = mail.release();
    Mail* before = newest_.load(std::memory_order_relaxed);
    do added->next_ = before;
    while (!newest_.compare_exchange_weak(before, added, std::memory_order_release,
                                          std::memory_order_relaxed));
    if (before != nullptr) return;  // whoever sent that has rung already
    const std::uint64_t one = 1;
    // Watched edge-triggered and never read: the counter would need 2^64 messages to block.
    [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
}

Mail* Mailbox::take_in_order() noexcept {
    Mail* oldest = nullptr;
    for (Mail* mail = newest_.exchange(nullptr, std::memory_order_acquire); mail != nullptr;) {
        Mail* next = std::exchange(mail->next_, oldest);
        oldest = std::exchange(mail, next);
    }
    return oldest;
}

bool Mailbox::receive() {
    if (empty()) return false;
    for (Mail* mail = take_in_order(); mail != nullptr;) {
        const std::unique_ptr<Mail> owned(std::exchange(mail, mail->next_));
        owned->run();
    }
    return true;
}

}  // namespace penstock::net
