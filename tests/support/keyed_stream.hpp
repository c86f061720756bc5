#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What the tests send through the proxy: per connection and direction an endless stream that
/// starts with the connection's id and goes on with bytes that only this connection and direction
/// have. Every byte that arrives therefore says where it came from.
namespace penstock::test {

struct ConnectionId {
    static constexpr std::size_t size = 16;
    std::array<std::byte, size> bytes{};

    /// The same serial gives the same id, in every run.
    static ConnectionId from_serial(std::uint64_t serial);
    [[nodiscard]] std::string text() const;
    auto operator<=>(const ConnectionId&) const = default;
};

enum class Direction : std::uint8_t { to_backend, to_client };
[[nodiscard]] const char* name_of(Direction direction);

/// The bytes of one direction of one connection, at any offset (counter-based, no state).
class KeyedStream {
public:
    KeyedStream(const ConnectionId& id, Direction direction);

    void fill(std::uint64_t offset, std::span<std::byte> out) const;
    [[nodiscard]] const ConnectionId& id() const { return id_; }
    [[nodiscard]] Direction direction() const { return direction_; }

    /// Offset at which this stream contains `word` (8 bytes as they stand in the stream at an
    /// 8-byte boundary); nothing when it is not within the first 2^40 bytes.
    [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t word) const;

private:
    [[nodiscard]] std::uint64_t word_at(std::uint64_t index) const;

    ConnectionId id_;
    Direction direction_;
    std::uint64_t key_;
};

/// The streams of a test, to name the origin of bytes that arrived in the wrong place. Thread-safe.
class StreamRegistry {
public:
    void add(const KeyedStream& stream);
    /// "connection 1a.. to_client offset 4096", or nothing when no known stream has these bytes.
    [[nodiscard]] std::optional<std::string> origin_of(std::span<const std::byte> bytes) const;

private:
    mutable std::mutex mutex_;
    std::vector<KeyedStream> streams_;
};

struct Mismatch {
    std::uint64_t offset;  // of the first wrong byte in the receiver's stream
    std::string found;  // hex, and whose bytes they are where that is known
};

/// Compares what arrives with the stream it must be a prefix of. After the first wrong byte it only
/// counts.
class StreamVerifier {
public:
    StreamVerifier(const KeyedStream& expected, const StreamRegistry* known)
        : expected_(expected), known_(known) {}

    void feed(std::span<const std::byte> bytes);
    [[nodiscard]] std::uint64_t received() const { return received_; }
    [[nodiscard]] const std::optional<Mismatch>& mismatch() const { return mismatch_; }

private:
    KeyedStream expected_;
    const StreamRegistry* known_;
    std::uint64_t received_ = 0;
    std::optional<Mismatch> mismatch_;
};

}  // namespace penstock::test
