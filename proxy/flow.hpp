#pragma once

#include <cstdint>
#include <utility>

#include "net/event_loop.hpp"
#include "net/socket.hpp"
#include "proxy/transfer_mode.hpp"

namespace penstock::proxy {

/// One direction of a relay: what was read and not yet delivered, and how much went through.
struct Flow {
    std::uint64_t bytes = 0;       // accepted by the receiving socket
    net::Buffer* rest = nullptr;   // owned: what a blocked send left over
    net::Pipe* pipe = nullptr;     // owned: while splicing
    TransferMode mode;
    bool delivered_end = false;    // the reading side's FIN was passed on
    bool write_failed = false;     // the receiving side is gone; reading stopped

    [[nodiscard]] bool empty() const noexcept {
        return rest == nullptr && (pipe == nullptr || pipe->size() == 0);
    }
};

enum class StepKind : std::uint8_t {
    wait,
    yield,
    pause,  // the allowance is used up
    end_of_stream,
    read_failed,
    write_failed,
};

/// What a pump does next. For `wait`, on which latch and as whom.
struct Step {
    StepKind kind;
    net::WaitRole role = net::WaitRole::reader;
    net::Latch* latch = nullptr;
};

/// Gives back what `flow` owns to the pools of `loop`; bytes in it are lost.
inline void release_memory(Flow& flow, net::EventLoop& loop) noexcept {
    if (flow.rest != nullptr) loop.buffers().give_back(std::exchange(flow.rest, nullptr));
    if (flow.pipe != nullptr) loop.pipes().give_back(std::exchange(flow.pipe, nullptr), loop.now());
}

}  // namespace penstock::proxy
