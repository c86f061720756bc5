#pragma once

#include <cstdint>

#include "base/clock.hpp"
#include "net/tcp_info.hpp"

namespace penstock::proxy {

/// Judges from TCP_INFO samples whether a peer is gone. Dead means: data was outstanding and not
/// one more byte acknowledged at two samples a full time-out apart, with no ACK between; or, at a
/// closed window, two probes in a row without an answer. A live peer that merely does not read
/// answers its window probes and is not dead. Pure.
class DeadPeerJudge {
public:
    enum class Verdict : std::uint8_t {
        clean,        // nothing outstanding: no need to look again until something is sent
        outstanding,  // look again a time-out later
        dead,
    };

    [[nodiscard]] Verdict sample(const net::DeliveryInfo& info, TimePoint now,
                                 Duration peer_timeout) noexcept {
        if (info.unacked_segments == 0 && info.unsent_bytes == 0) {
            outstanding_since_ = no_deadline;
            return Verdict::clean;
        }
        const bool silent = info.since_last_ack >= peer_timeout;
        if (silent && info.window_probes >= 2) return Verdict::dead;
        if (outstanding_since_ == no_deadline || info.bytes_acked != bytes_acked_) {
            outstanding_since_ = now;
            bytes_acked_ = info.bytes_acked;
            return Verdict::outstanding;
        }
        const bool long_enough = now - outstanding_since_ >= peer_timeout;
        return silent && long_enough && info.unacked_segments > 0 ? Verdict::dead
                                                                  : Verdict::outstanding;
    }

    /// How long after the first send the first sample is taken, so that the verdict on a peer that
    /// died before it comes at most this much after one time-out.
    [[nodiscard]] static constexpr Duration first_sample_after(Duration peer_timeout) noexcept {
        return peer_timeout / 16;
    }

private:
    TimePoint outstanding_since_ = no_deadline;
    std::uint64_t bytes_acked_ = 0;
};

}  // namespace penstock::proxy
