#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "base/endpoint.hpp"

namespace penstock::balancer {

/// One server of an upstream: its identity (upstream, name, address) and the counters that all
/// workers share. Lives as long as a set or a session refers to it. The identity is immutable; the
/// atomics may be touched from any thread.
class Backend {
public:
    Backend(std::string upstream, std::string name, Endpoint address)
        : upstream_(std::move(upstream)),
          name_(std::move(name)),
          address_(std::move(address)),
          address_text_(address_.to_string()) {}
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    [[nodiscard]] const std::string& upstream() const noexcept { return upstream_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const Endpoint& address() const noexcept { return address_; }
    [[nodiscard]] const std::string& address_text() const noexcept { return address_text_; }

    /// Sessions that hold this backend, connecting ones included; over all workers.
    [[nodiscard]] std::uint32_t active() const noexcept {
        return active_.load(std::memory_order_relaxed);
    }
    void session_started() noexcept { active_.fetch_add(1, std::memory_order_relaxed); }
    void session_ended() noexcept { active_.fetch_sub(1, std::memory_order_relaxed); }

private:
    std::string upstream_;
    std::string name_;
    Endpoint address_;
    std::string address_text_;
    alignas(64) std::atomic<std::uint32_t> active_{0};
};

}  // namespace penstock::balancer
