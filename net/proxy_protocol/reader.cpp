#include "net/proxy_protocol/reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "net/proxy_protocol/crc32c.hpp"
#include "net/proxy_protocol/wire.hpp"

namespace penstock::net::proxy_protocol {

namespace {

using Status = Reading::Status;

Reading refuse(Version version, std::string_view problem) {
    Reading result;
    result.status = Status::invalid;
    result.version = version;
    result.problem = problem;
    return result;
}

Reading need_more(Version version) {
    Reading result;
    result.version = version;
    return result;
}

// ------------------------------------------------------------------ version 1

constexpr std::string_view line_end = "\r\n";

/// The line without what stands before the addresses, and how far it has come.
struct Line {
    std::string_view text{};  // what has come, without the line's end
    bool whole = false;
};

/// The next field up to a space. Null: there is no space yet, the rest of the line is that field.
std::optional<std::string_view> take_field(std::string_view& text) {
    const auto space = text.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto field = text.substr(0, space);
    text.remove_prefix(space + 1);
    return field;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// inet_pton() knows neither leading zeros of IPv4 nor zones of IPv6, and nothing before or behind.
std::optional<CompactEndpoint> parse_address(int family, std::string_view text,
                                             std::uint16_t port) {
    char terminated[INET6_ADDRSTRLEN];
    if (text.size() >= sizeof terminated || text.contains('\0')) return std::nullopt;
    *std::ranges::copy(text, terminated).out = '\0';
    if (family == AF_INET) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        if (::inet_pton(AF_INET, terminated, &address.sin_addr) != 1) return std::nullopt;
        return CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address),
                                              sizeof address);
    }
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, terminated, &address.sin6_addr) != 1) return std::nullopt;
    return CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address),
                                          sizeof address);
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    if (text.size() > 1 && text.front() == '0') return std::nullopt;
    return port;
}

/// What may stand in a field that has not ended yet.
bool may_become_address(int family, std::string_view text) {
    const std::size_t longest = family == AF_INET ? INET_ADDRSTRLEN : INET6_ADDRSTRLEN;
    return text.size() < longest &&
           std::ranges::all_of(
               text,
               [family](char c) {
                   const bool hex = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
                   return is_digit(c) || c == '.' || (family == AF_INET6 && hex);
               });
}
bool may_become_port(std::string_view text) { return text.empty() || parse_port(text).has_value(); }

constexpr std::string_view bad_source = "the source is no address of its family";
constexpr std::string_view bad_destination = "the destination is no address of its family";
constexpr std::string_view bad_source_port = "the source port is no number from 0 to 65535";
constexpr std::string_view bad_destination_port =
    "the destination port is no number from 0 to 65535";
constexpr std::string_view too_few = "a field is missing";

Reading read_addresses(int family, Line line) {
    // Each field in turn: a whole one must be right, one that is still coming must be able to
    // become.
    const auto unfinished = [&line](bool possible, std::string_view problem) {
        if (!possible) return refuse(Version::v1, problem);
        return line.whole ? refuse(Version::v1, too_few) : need_more(Version::v1);
    };
    const auto source_text = take_field(line.text);
    if (!source_text) return unfinished(may_become_address(family, line.text), bad_source);
    auto source = parse_address(family, *source_text, 0);
    if (!source) return refuse(Version::v1, bad_source);
    const auto destination_text = take_field(line.text);
    if (!destination_text)
        return unfinished(may_become_address(family, line.text), bad_destination);
    auto destination = parse_address(family, *destination_text, 0);
    if (!destination) return refuse(Version::v1, bad_destination);
    const auto source_port_text = take_field(line.text);
    if (!source_port_text) return unfinished(may_become_port(line.text), bad_source_port);
    const auto source_port = parse_port(*source_port_text);
    if (!source_port) return refuse(Version::v1, bad_source_port);
    if (!line.whole) return unfinished(may_become_port(line.text), bad_destination_port);
    const auto destination_port = parse_port(line.text);
    if (!destination_port) return refuse(Version::v1, bad_destination_port);
    Reading result;
    result.status = Status::complete;
    result.header.source = *parse_address(family, *source_text, *source_port);
    result.header.destination = *parse_address(family, *destination_text, *destination_port);
    return result;
}

/// Whether `text` begins with `word`, as far as either goes.
bool begins(std::string_view text, std::string_view word) {
    return text.substr(0, word.size()) == word.substr(0, text.size());
}

Reading read_line(Line line) {
    if (!begins(line.text, wire::v1_start))
        return refuse(Version::v1, "it does not begin with \"PROXY \"");
    line.text.remove_prefix(std::min(line.text.size(), wire::v1_start.size()));
    for (const auto& [word, family] :
         {std::pair{std::string_view("TCP4 "), AF_INET}, {std::string_view("TCP6 "), AF_INET6}})
        if (line.text.starts_with(word)) {
            line.text.remove_prefix(word.size());
            return read_addresses(family, line);
        }
    constexpr std::string_view unknown = "UNKNOWN";
    const bool is_unknown = line.text.starts_with(unknown) && (line.text.size() == unknown.size() ||
                                                               line.text[unknown.size()] == ' ');
    if (is_unknown && line.whole) {
        Reading result;
        result.status = Status::complete;
        return result;
    }
    const auto may_become = [&line](std::string_view word) { return word.starts_with(line.text); };
    const bool possible =
        is_unknown || may_become(unknown) || may_become("TCP4 ") || may_become("TCP6 ");
    if (line.whole || !possible)
        return refuse(Version::v1, "its protocol is none of TCP4, TCP6 and UNKNOWN");
    return need_more(Version::v1);
}

Reading read_v1(std::string_view bytes) {
    const auto window = bytes.substr(0, longest_v1);
    const auto stop = window.find_first_of(line_end);
    if (stop == std::string_view::npos) {
        if (bytes.size() >= longest_v1)
            return refuse(Version::v1, "the line is longer than 107 bytes");
        return read_line({.text = window});
    }
    if (window[stop] == '\n') return refuse(Version::v1, "a line feed without a carriage return");
    if (stop + 1 == longest_v1) return refuse(Version::v1, "the line is longer than 107 bytes");
    const bool whole = stop + 1 < window.size();
    if (whole && window[stop + 1] != '\n')
        return refuse(Version::v1, "a carriage return without a line feed");
    // The text before a carriage return is whole even while the line feed is on its way.
    auto result = read_line({.text = window.substr(0, stop), .whole = true});
    if (result.status != Status::complete) return result;
    if (!whole) return need_more(Version::v1);
    result.length = stop + line_end.size();
    return result;
}

// ------------------------------------------------------------------ version 2

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
    return static_cast<std::uint8_t>(bytes[at]);
}
std::uint16_t u16_at(std::string_view bytes, std::size_t at) {
    return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

/// The addresses' size; null = no family that the specification has.
std::optional<std::size_t> addresses_size(std::uint8_t family) {
    switch (family) {
        case wire::unspec: return 0;
        case wire::tcp4:
        case wire::udp4: return 12;
        case wire::tcp6:
        case wire::udp6: return 36;
        case wire::unix_stream:
        case wire::unix_datagram: return 216;
        default: return std::nullopt;
    }
}

bool is_datagram(std::uint8_t family) { return (family & 0x0f) == 0x02; }

/// What is wrong with the fixed part, as far as it has come; "" = nothing.
std::string_view problem_of_fixed_part(std::string_view bytes) {
    if (!begins(bytes.substr(0, wire::signature.size()), wire::signature))
        return "it does not begin with the signature of version 2";
    if (bytes.size() <= 12) return "";
    const std::uint8_t command = byte_at(bytes, 12) & 0x0f;
    if ((byte_at(bytes, 12) & 0xf0) != wire::version_2) return "its version is not 2";
    if (command != wire::command_local && command != wire::command_proxy)
        return "its command is neither LOCAL nor PROXY";
    if (bytes.size() <= 13) return "";
    const bool local = command == wire::command_local;
    const std::uint8_t family = byte_at(bytes, 13);
    const auto size = addresses_size(family);
    if (!local && !size) return "its address family or protocol is unknown";
    if (!local && is_datagram(family)) return "it tells of a datagram on a stream";
    if (bytes.size() < wire::fixed_size) return "";
    const std::size_t length = u16_at(bytes, 14);
    if (wire::fixed_size + length > longest_v2) return "it is longer than 4096 bytes";
    if (!local && length < *size) return "it is shorter than the addresses of its family";
    return "";
}

void read_addresses(std::string_view block, std::uint8_t family, Header& header) {
    if (family == wire::tcp4) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        for (const bool source : {true, false}) {
            std::memcpy(&address.sin_addr, block.data() + (source ? 0 : 4), 4);
            std::memcpy(&address.sin_port, block.data() + (source ? 8 : 10), 2);
            (source ? header.source : header.destination) = CompactEndpoint::from_sockaddr(
                reinterpret_cast<const sockaddr*>(&address), sizeof address);
        }
    } else if (family == wire::tcp6) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        for (const bool source : {true, false}) {
            std::memcpy(&address.sin6_addr, block.data() + (source ? 0 : 16), 16);
            std::memcpy(&address.sin6_port, block.data() + (source ? 32 : 34), 2);
            (source ? header.source : header.destination) = CompactEndpoint::from_sockaddr(
                reinterpret_cast<const sockaddr*>(&address), sizeof address);
        }
    }
}

/// Calls `each(type, offset of the value, its length)` for all TLVs of header[at..]; false = they
/// do not end where the header ends.
template <class Each>
bool walk_tlvs(std::string_view header, std::size_t at, Each each) {
    while (at < header.size()) {
        if (header.size() - at < wire::tlv_start_size) return false;
        const std::size_t length = u16_at(header, at + 1);
        const std::size_t value = at + wire::tlv_start_size;
        if (header.size() - value < length) return false;
        each(byte_at(header, at), value, length);
        at = value + length;
    }
    return true;
}

bool has_crc32c(std::string_view header, std::size_t field) {
    const auto bytes = std::as_bytes(std::span(header));
    constexpr std::array<std::byte, wire::crc32c_size> zeros{};
    std::uint32_t crc = crc32c(bytes.first(field));
    crc = crc32c(zeros, crc);
    crc = crc32c(bytes.subspan(field + zeros.size()), crc);
    return crc ==
           (static_cast<std::uint32_t>(u16_at(header, field)) << 16 | u16_at(header, field + 2));
}

/// What is wrong; "" = nothing, and they are in `out`.
std::string_view read_tlvs(std::string_view header, std::size_t from, Header& out) {
    std::size_t count = 0;
    std::size_t checksums = 0;
    std::size_t checksum_at = 0;
    std::size_t checksum_length = 0;
    bool id_fits = true;
    const bool whole =
        walk_tlvs(header, from, [&](std::uint8_t type, std::size_t value, std::size_t length) {
            if (type == tlv_crc32c) {
                ++checksums;
                checksum_at = value;
                checksum_length = length;
            } else if (type != tlv_noop) {
                ++count;
            }
            if (type == tlv_unique_id) id_fits = id_fits && length <= wire::longest_unique_id;
        });
    if (!whole) return "a TLV does not end inside the header";
    if (!id_fits) return "a TLV has a unique id of more than 128 bytes";
    if (checksums > 1) return "it has two checksums";
    if (checksums == 1 && checksum_length != wire::crc32c_size)
        return "its checksum is not 4 bytes long";
    if (checksums == 1 && !has_crc32c(header, checksum_at)) return "its checksum is wrong";
    out.tlvs.reserve(count);
    walk_tlvs(header, from, [&](std::uint8_t type, std::size_t value, std::size_t length) {
        if (type == tlv_crc32c || type == tlv_noop) return;
        out.tlvs.push_back({.type = type, .value = std::string(header.substr(value, length))});
    });
    return "";
}

Reading read_v2(std::string_view bytes) {
    if (const auto problem = problem_of_fixed_part(bytes); !problem.empty())
        return refuse(Version::v2, problem);
    if (bytes.size() < wire::fixed_size) return need_more(Version::v2);
    const std::size_t length = wire::fixed_size + u16_at(bytes, 14);
    if (bytes.size() < length) return need_more(Version::v2);
    const auto header = bytes.substr(0, length);
    Reading result;
    result.status = Status::complete;
    result.version = Version::v2;
    result.length = length;
    result.header.local = (byte_at(bytes, 12) & 0x0f) == wire::command_local;
    const std::uint8_t family = byte_at(bytes, 13);
    const auto size = addresses_size(family);
    // LOCAL: the family means nothing, so that its addresses may be missing. Then nobody can tell
    // where TLVs would begin.
    if (!size || length < wire::fixed_size + *size) return result;
    if (!result.header.local)
        read_addresses(header.substr(wire::fixed_size), family, result.header);
    if (const auto problem = read_tlvs(header, wire::fixed_size + *size, result.header);
        !problem.empty())
        return refuse(Version::v2, problem);
    return result;
}

}  // namespace

Reading read(std::span<const std::byte> bytes, Accepts accepts) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text.empty()) return need_more(accepts.v2 ? Version::v2 : Version::v1);
    const bool first_of_v1 = text.front() == wire::v1_start.front();
    const bool first_of_v2 = text.front() == wire::signature.front();
    if (first_of_v1 && accepts.v1) return read_v1(text);
    if (first_of_v2 && accepts.v2) return read_v2(text);
    const auto version = first_of_v2 ? Version::v2 : Version::v1;
    if (first_of_v1) return refuse(version, "it is of version 1, which is not accepted here");
    if (first_of_v2) return refuse(version, "it is of version 2, which is not accepted here");
    return refuse(version, "there is no PROXY header");
}

}  // namespace penstock::net::proxy_protocol
