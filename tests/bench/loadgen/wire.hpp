#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace penstock::bench {

/// What a connection asks the benchmark's backend to do; its first header says so.
enum class Service : std::uint16_t {
    echo = 1,       ///< return every byte until the client ends
    echo_once = 2,  ///< return the first message, then end the connection
    source = 3,     ///< send one unit of pattern for each byte of credit
    sink = 4,       ///< check the pattern, acknowledge each unit
};

/// The first bytes of every message (echo) or connection (source, sink). Host byte order: both ends
/// run on one machine. On the wire it is 16 bytes without padding.
struct Header {
    std::uint32_t magic;
    Service service;
    std::uint16_t reserved;
    std::uint32_t size;  ///< whole message, header included
    std::uint32_t tag;  ///< chooses the pattern that follows
};
static_assert(sizeof(Header) == 16);

/// What a sink answers after each unit.
struct Acknowledgement {
    std::uint64_t bytes;  ///< received so far, header not counted
    std::uint64_t mismatches;  ///< reads that differed from the pattern so far
};
static_assert(sizeof(Acknowledgement) == 16);

constexpr std::uint32_t header_magic = 0x50454e42;
constexpr std::size_t bulk_unit = 4 * 1024 * 1024;  ///< bytes per credit or acknowledgement
constexpr std::size_t window_units = 2;  ///< units of credit a client keeps open
/// Largest piece that pattern_at() hands out, and so the largest read, write and message.
constexpr std::size_t max_piece = 128 * 1024;

/// The endless pseudo-random stream that all payloads are cut from: `size` (at most max_piece)
/// bytes from `position`. Its period is prime, so a shift by a power of two (a lost or repeated
/// buffer) shows.
[[nodiscard]] std::span<const std::byte> pattern_at(std::uint64_t position, std::size_t size);

/// Fills `message` (at least a header, at most max_piece) with header and payload.
void write_message(std::span<std::byte> message, Service service, std::uint32_t tag);

/// Whether `message` is byte for byte what write_message() makes of these arguments.
[[nodiscard]] bool is_message(std::span<const std::byte> message, Service service,
                              std::uint32_t tag);

/// The header at the start of `bytes`; none if too short or not ours.
[[nodiscard]] std::optional<Header> read_header(std::span<const std::byte> bytes);

/// Where the pattern of a bulk stream with this tag begins.
[[nodiscard]] std::uint64_t stream_start(std::uint32_t tag);

}  // namespace penstock::bench
