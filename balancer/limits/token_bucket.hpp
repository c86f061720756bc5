#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/clock.hpp"

namespace penstock::balancer {

/// The arithmetic of a token bucket: `amount` tokens in `per`, at most `burst` at once. The state
/// of a bucket is one number, how far its tokens are spent on the line of all tokens ever issued
/// since time zero (GCRA, ITU-T I.371, counted in tokens instead of time). Where that line stands
/// at a moment is computed from time zero, so no rounding adds up; a token is divided into 2^n
/// parts, as many as fit 40 years: that is finer than a nanosecond. A fresh bucket has the state 0
/// and is full.
class TokenLine {
public:
    /// Nothing may be 0. More than a token each nanosecond, and bursts above 2^40, are cut to that.
    TokenLine(std::uint64_t amount, Duration per, std::uint64_t burst) noexcept;

    /// The state after one more token, or nothing if there is none at `now`. `now` may run back a
    /// little: several threads have their own.
    [[nodiscard]] std::optional<std::uint64_t> take(std::uint64_t spent,
                                                    TimePoint now) const noexcept;
    /// Tokens of the burst that are spent at `now`, a part counting as one; all of them = there is
    /// none.
    [[nodiscard]] std::uint64_t used(std::uint64_t spent, TimePoint now) const noexcept;
    /// True if nothing is known of the bucket any more: it is as good as a fresh one.
    [[nodiscard]] bool is_full(std::uint64_t spent, TimePoint now) const noexcept {
        return spent <= issued(now);
    }
    /// When take() succeeds at the earliest if nobody else takes.
    [[nodiscard]] TimePoint next_token(std::uint64_t spent) const noexcept;
    [[nodiscard]] std::uint64_t one() const noexcept { return one_; }
    bool operator==(const TokenLine&) const = default;

private:
    [[nodiscard]] std::uint64_t issued(TimePoint now) const noexcept;

    std::uint64_t parts_;  // in `per`
    std::uint64_t per_;  // nanoseconds
    std::uint64_t one_;  // parts of a token
    std::uint64_t burst_;  // parts
};

/// A token bucket for any number of threads, without a lock.
class TokenBucket {
public:
    explicit TokenBucket(const TokenLine& line) noexcept : line_(line) {}
    TokenBucket(const TokenBucket&) = delete;
    TokenBucket& operator=(const TokenBucket&) = delete;

    /// A token, given back when it is destroyed unless it was spent.
    class [[nodiscard]] Token {
    public:
        Token() = default;
        Token(Token&& other) noexcept
            : bucket_(std::exchange(other.bucket_, nullptr)), at_(other.at_) {}
        Token& operator=(Token&& other) noexcept {
            if (this == &other) return *this;
            give_back();
            bucket_ = std::exchange(other.bucket_, nullptr);
            at_ = other.at_;
            return *this;
        }
        ~Token() { give_back(); }

        [[nodiscard]] explicit operator bool() const noexcept { return bucket_ != nullptr; }
        void spend() noexcept { bucket_ = nullptr; }
        void give_back() noexcept {
            if (auto* bucket = std::exchange(bucket_, nullptr)) bucket->give_back(at_);
        }

    private:
        friend class TokenBucket;
        Token(TokenBucket* bucket, std::uint64_t at) noexcept : bucket_(bucket), at_(at) {}
        TokenBucket* bucket_ = nullptr;
        std::uint64_t at_ = 0;
    };

    /// An empty token if there is none at `now`.
    [[nodiscard]] Token try_take(TimePoint now) noexcept;
    [[nodiscard]] bool has_token(TimePoint now) const noexcept {
        return line_.take(spent_.load(std::memory_order_relaxed), now).has_value();
    }
    [[nodiscard]] TimePoint next_token() const noexcept {
        return line_.next_token(spent_.load(std::memory_order_relaxed));
    }
    /// As TokenLine::used().
    [[nodiscard]] std::uint64_t used(TimePoint now) const noexcept {
        return line_.used(spent_.load(std::memory_order_relaxed), now);
    }

private:
    void give_back(std::uint64_t at) noexcept;

    const TokenLine line_;
    alignas(64) std::atomic<std::uint64_t> spent_{0};
};

}  // namespace penstock::balancer
