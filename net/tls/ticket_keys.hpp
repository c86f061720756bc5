#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace penstock::net::tls {

/// One key that session tickets are sealed with.
struct TicketKey {
    std::array<std::uint8_t, 16> name{};
    std::array<std::uint8_t, 32> cipher{};  // AES-256, or AES-128 in the first half
    std::array<std::uint8_t, 32> mac{};     // HMAC-SHA-256
    bool aes128 = false;
    bool operator==(const TicketKey&) const = default;
};

/// The bytes of a key file: 80 (name, HMAC key, AES-256 key) or 48 (name, AES-128 key, HMAC key of
/// 16), as nginx has it, so that both may share one. The error is a sentence.
[[nodiscard]] std::expected<TicketKey, std::string> parse_ticket_key(std::string_view bytes);
/// The same bytes again; a secret.
[[nodiscard]] std::string serialize_ticket_key(const TicketKey& key);

/// The keys of one listener's tickets: the newest seals, all of them open. Shared by all workers;
/// any thread. Keys are wiped when they are dropped.
class TicketKeys {
public:
    /// Without files a new random key is made every `rotation`, and opens tickets for as long as
    /// `kept` rotations afterwards.
    static constexpr Duration rotation = std::chrono::hours(8);
    static constexpr std::size_t kept = 3;

    TicketKeys();
    ~TicketKeys();
    TicketKeys(const TicketKeys&) = delete;
    TicketKeys& operator=(const TicketKeys&) = delete;

    /// From now on these, newest first; they are not rotated. Empty: back to random ones.
    void use_shared(std::vector<TicketKey> keys);
    /// Random keys that another process has made (an upgrade), newest first, which is in use since
    /// then; rotated from now on.
    void inherit(std::vector<TicketKey> keys, TimePoint since);
    /// A new random key if the newest is `rotation` old, which counts from the first call. Called
    /// now and then.
    void rotate_if_due(TimePoint now);

    /// Newest first; never empty.
    [[nodiscard]] std::shared_ptr<const std::vector<TicketKey>> keys() const;
    [[nodiscard]] bool shared() const;
    /// Since when the newest is in use; nothing if that does not matter, or is not known yet.
    [[nodiscard]] std::optional<TimePoint> since() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::net::tls
