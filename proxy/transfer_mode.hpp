#pragma once

#include <cstddef>
#include <cstdint>

#include "net/buffer_pool.hpp"

namespace penstock::proxy {

/// How one direction of a relay moves bytes: small reads until full ones repeat, then large ones,
/// then splice; back to small reads when little comes. So that short messages cost one recv and
/// one send, bulk is never copied, and a slow reader pins little memory. Pure.
class TransferMode {
public:
    [[nodiscard]] std::size_t read_size() const noexcept {
        return mode_ == Mode::small ? net::BufferPool::small : net::BufferPool::large;
    }
    [[nodiscard]] bool wants_splice() const noexcept { return mode_ == Mode::splice; }

    void on_read(std::size_t bytes, std::size_t asked) noexcept {
        if (bytes < asked) {
            streak_ = 0;
            if (mode_ != Mode::splice && bytes < net::BufferPool::small) mode_ = Mode::small;
            return;
        }
        if (mode_ == Mode::splice || ++streak_ < full_reads_to_grow) return;
        mode_ = mode_ == Mode::small ? Mode::large : Mode::splice;
        streak_ = 0;
    }

    void on_splice(std::size_t bytes) noexcept {
        streak_ = bytes < net::BufferPool::small ? static_cast<std::uint8_t>(streak_ + 1) : 0;
        if (streak_ < small_splices_to_shrink) return;
        mode_ = Mode::small;
        streak_ = 0;
    }

private:
    static constexpr std::uint8_t full_reads_to_grow = 2;
    static constexpr std::uint8_t small_splices_to_shrink = 8;
    enum class Mode : std::uint8_t { small, large, splice };
    Mode mode_ = Mode::small;
    std::uint8_t streak_ = 0;
};

}  // namespace penstock::proxy
