#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

namespace penstock::balancer {

/// How many sessions of an upstream may be trying again at a time: a share of its sessions, and
/// always a few, so that retries never multiply the load of an upstream that fails (as Envoy's
/// retry budgets do). Shared by all workers; any thread.
class RetryBudget {
public:
    static constexpr std::uint64_t always_allowed = 3;

    /// `share` from 0 to 1.
    explicit RetryBudget(double share) noexcept : share_(share) {}
    RetryBudget(const RetryBudget&) = delete;
    RetryBudget& operator=(const RetryBudget&) = delete;

    /// One session that is trying again, until it has a connection or has ended. Move-only.
    class [[nodiscard]] Token {
    public:
        Token() = default;
        Token(Token&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
        Token& operator=(Token&& other) noexcept {
            release();
            budget_ = std::exchange(other.budget_, nullptr);
            return *this;
        }
        ~Token() { release(); }
        [[nodiscard]] explicit operator bool() const noexcept { return budget_ != nullptr; }
        void release() noexcept {
            if (auto* budget = std::exchange(budget_, nullptr)) budget->in_flight_.fetch_sub(1);
        }

    private:
        friend class RetryBudget;
        explicit Token(RetryBudget* budget) noexcept : budget_(budget) {}
        RetryBudget* budget_ = nullptr;
    };

    /// An empty token where the budget is used up. `sessions`: those of the upstream now.
    [[nodiscard]] Token try_begin(std::uint64_t sessions) noexcept {
        const auto most = std::max(
            always_allowed, static_cast<std::uint64_t>(share_.load(std::memory_order_relaxed) *
                                                       static_cast<double>(sessions)));
        std::uint64_t now = in_flight_.load();
        do {
            if (now >= most) return {};
        } while (!in_flight_.compare_exchange_weak(now, now + 1));
        return Token(this);
    }
    void set_share(double share) noexcept { share_.store(share, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t in_flight() const noexcept { return in_flight_.load(); }

private:
    std::atomic<double> share_;
    std::atomic<std::uint64_t> in_flight_{0};
};

}  // namespace penstock::balancer
