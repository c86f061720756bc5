#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "net/unique_fd.hpp"

namespace penstock::net {

/// A message to a loop: runs there once. Intrusively linked.
class Mail {
public:
    virtual ~Mail() = default;
    virtual void run() = 0;

private:
    friend class Mailbox;
    Mail* next_ = nullptr;
};

/// Many senders, one receiver, no lock: a stack of messages that the receiver takes whole and turns
/// round, and an eventfd that ends its wait. Messages of one sender run in the order of sending.
class Mailbox {
public:
    /// Throws std::system_error when no eventfd can be had.
    Mailbox();
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;
    /// Destroys what was never received, without running it.
    ~Mailbox();

    /// Any thread.
    void send(std::unique_ptr<Mail> mail) noexcept;

    /// The receiver only: runs what has arrived. Returns false if there was nothing.
    bool receive();
    [[nodiscard]] int wake_up_fd() const noexcept { return event_.get(); }
    [[nodiscard]] bool empty() const noexcept {
        return newest_.load(std::memory_order_relaxed) == nullptr;
    }

private:
    Mail* take_in_order() noexcept;

    UniqueFd event_;
    std::atomic<Mail*> newest_{nullptr};
};

template <typename F>
class MailOf final : public Mail {
public:
    explicit MailOf(F function) : function_(std::move(function)) {}
    void run() override { std::move(function_)(); }

private:
    F function_;
};

template <typename F>
std::unique_ptr<Mail> make_mail(F function) {
    return std::make_unique<MailOf<F>>(std::move(function));
}

}  // namespace penstock::net
