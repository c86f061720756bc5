#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/free_list.hpp"

namespace penstock::net {

namespace detail {

/// What the promises of Task<T> share. Frames come from the thread's free lists.
class TaskPromiseBase : public FromFreeList {
public:
    std::suspend_always initial_suspend() const noexcept { return {}; }

    /// Hands over to the awaiting coroutine by a nested resume(), not by symmetric transfer: GCC 12
    /// turns the latter into real recursion at -O0, -O1 and under sanitizers. A task that ended
    /// before its awaiter suspended hands over nothing: the awaiter goes on by itself.
    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <typename Promise>
        void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
            TaskPromiseBase& promise = self.promise();
            promise.done_ = true;
            if (promise.continuation_) promise.continuation_.resume();
        }
        void await_resume() const noexcept {}
    };
    FinalAwaiter final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { error_ = std::current_exception(); }

    [[nodiscard]] bool done() const noexcept { return done_; }
    void set_continuation(std::coroutine_handle<> h) noexcept { continuation_ = h; }
    void rethrow_if_failed() const {
        if (error_) std::rethrow_exception(error_);
    }

private:
    std::coroutine_handle<> continuation_;
    std::exception_ptr error_;
    bool done_ = false;
};

template <typename T>
class TaskPromise : public TaskPromiseBase {
public:
    auto get_return_object() noexcept {
        return std::coroutine_handle<TaskPromise>::from_promise(*this);
    }
    template <typename U>
    void return_value(U&& value) {
        value_.emplace(std::forward<U>(value));
    }
    T take() {
        rethrow_if_failed();
        return *std::move(value_);
    }

private:
    std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
public:
    auto get_return_object() noexcept {
        return std::coroutine_handle<TaskPromise>::from_promise(*this);
    }
    void return_void() const noexcept {}
    void take() const { rethrow_if_failed(); }
};

}  // namespace detail

/// A lazily started coroutine with one awaiter, on one thread. It owns its frame; awaiting it twice
/// is an error. An exception travels to the awaiter.
template <typename T>
class [[nodiscard]] Task {
public:
    using promise_type = detail::TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    Task(Handle handle) noexcept : handle_(handle) {}  // NOLINT: made by get_return_object()
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (handle_) handle_.destroy();
    }

    struct Awaiter {
        Handle handle;
        bool await_ready() const noexcept { return false; }
        bool await_suspend(std::coroutine_handle<> awaiting) const {
            handle.resume();
            if (handle.promise().done()) return false;
            handle.promise().set_continuation(awaiting);
            return true;
        }
        T await_resume() const { return handle.promise().take(); }
    };
    Awaiter operator co_await() const noexcept { return {handle_}; }

private:
    Handle handle_;
};

/// What owns a root coroutine: told of an exception that left it.
class CoroutineOwner {
public:
    virtual void on_coroutine_failure(std::exception_ptr error) noexcept = 0;

protected:
    ~CoroutineOwner() = default;
};

/// A coroutine that nobody awaits: starts at once and destroys itself at its end. Its first
/// parameter is its CoroutineOwner, which hears of every exception: nothing is swallowed. The owner
/// must outlive it and abort it by waking what it waits for. A free or static function: GCC 12 does
/// not pass a member's object to the promise.
class Root {
public:
    class promise_type : public FromFreeList {
    public:
        template <typename... Args>
        explicit promise_type(CoroutineOwner& owner, Args&...) noexcept : owner_(&owner) {}

        Root get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept {
            owner_->on_coroutine_failure(std::current_exception());
        }

    private:
        CoroutineOwner* owner_;
    };
};

}  // namespace penstock::net
