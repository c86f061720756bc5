// P15: the same bytes to HAProxy's accept-proxy, to nginx's proxy_protocol and to the reader. All
// agree on what is a header and on what it says, but for what the table of differences explains.
#include <array>
#include <cstdint>
#include <ostream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/random.hpp"
#include "net/proxy_protocol/crc32c.hpp"
#include "net/proxy_protocol/reader.hpp"
#include "tests/servers/haproxy.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/nginx.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {
namespace {

namespace pp = net::proxy_protocol;
using namespace std::string_literals;

/// What somebody made of the bytes.
struct Verdict {
    bool accepted = false;
    std::string addresses{};  // "10.0.0.1:1 10.0.0.2:2"; "" = the connection's own count
    bool operator==(const Verdict&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
    return out << (verdict.accepted ? "accepted, " : "refused, ")
               << (verdict.addresses.empty() ? "no addresses" : verdict.addresses);
}

// "::ffff:10.0.0.1" and "80" as "10.0.0.1:80".
std::string normalized(const std::string& host, const std::string& port) {
    const auto text = host.contains(':') ? "[" + host + "]:" + port : host + ":" + port;
    const auto endpoint = Endpoint::parse(text);
    return endpoint ? endpoint->ip().to_string() : "unreadable " + text;
}

// "10.0.0.1 10.0.0.2 1 2", words of a line of version 1.
std::string normalized_words(const std::string& text) {
    std::istringstream words(text);
    std::string source;
    std::string destination;
    std::string source_port;
    std::string destination_port;
    if (!(words >> source >> destination >> source_port >> destination_port)) return "";
    return normalized(source, source_port) + ' ' + normalized(destination, destination_port);
}

Verdict verdict_of(const pp::Reading& reading) {
    Verdict verdict{.accepted = reading.status == pp::Reading::Status::complete};
    if (verdict.accepted && !reading.header.source.empty())
        verdict.addresses =
            reading.header.source.to_string() + ' ' + reading.header.destination.to_string();
    return verdict;
}

/// Sends `bytes` and a FIN; all that comes back.
std::string say(Socket& socket, const std::string& bytes) {
    socket.send(bytes);
    socket.finish();
    return socket.receive_text(1U << 20);
}

constexpr std::string_view payload = "payload";

/// HAProxy relays to an echo server, with a line of version 1 in front.
class HaproxyReader {
public:
    Verdict read(const std::string& bytes) {
        auto socket = Socket::connect(haproxy_.address());
        EXPECT_TRUE(socket.has_value());
        const std::string own =
            normalized_words(host_of(socket->local()) + ' ' + host_of(haproxy_.address()) + ' ' +
                             port_of(socket->local()) + ' ' + port_of(haproxy_.address()));
        const std::string answer = say(*socket, bytes + std::string(payload));
        if (answer.empty()) return {};
        const auto end = answer.find("\r\n");
        const auto words = answer.find(' ', answer.find(' ') + 1);  // behind "PROXY TCP4"
        Verdict verdict{.accepted = true};
        if (end == std::string::npos) return verdict;
        follows_ = answer.substr(end + 2);
        if (words >= end) return verdict;
        verdict.addresses = normalized_words(answer.substr(words, end - words));
        if (verdict.addresses == own) verdict.addresses.clear();
        return verdict;
    }

    /// What came behind the header that was accepted last.
    [[nodiscard]] const std::string& follows() const { return follows_; }

private:
    std::string follows_;
    EchoServer echo_;
    Haproxy haproxy_{echo_.text(), {.bind = "accept-proxy", .server = "send-proxy"}};
};

/// nginx answers with its variables.
class NginxReader {
public:
    Verdict read(const std::string& bytes) {
        auto socket = Socket::connect(address_);
        EXPECT_TRUE(socket.has_value());
        const std::string answer = say(*socket, bytes + std::string(payload));
        std::istringstream variables(answer);
        std::array<std::string, 5> words;
        for (std::string& word : words) std::getline(variables, word, '|');
        if (words[0] != "ok") return {};
        if (words[1].empty()) return {.accepted = true};
        // A port 0 is an empty variable.
        for (std::string* port : {&words[3], &words[4]})
            if (port->empty()) *port = "0";
        return {.accepted = true,
                .addresses = normalized(words[1], words[3]) + ' ' + normalized(words[2], words[4])};
    }

private:
    Address address_ = private_address();
    Nginx nginx_{"web",
                 {.stream = "server { listen " + address_.text() +
                            " proxy_protocol; return \"ok|$proxy_protocol_addr|"
                            "$proxy_protocol_server_addr|$proxy_protocol_port|"
                            "$proxy_protocol_server_port\"; }"}};
};

/// What differs is asked twice: on a busy machine a server may lose its patience.
template <typename Reader>
Verdict ask(Reader& reader, const std::string& bytes, const Verdict& expected) {
    const Verdict first = reader.read(bytes);
    return first == expected ? first : reader.read(bytes);
}

// ------------------------------------------------------------------ headers

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string u16(std::size_t value) {
    return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}
std::string v2(int version_command, int family, const std::string& block) {
    return signature + static_cast<char>(version_command) + static_cast<char>(family) +
           u16(block.size()) + block;
}
std::string tlv(int type, const std::string& value) {
    return std::string(1, static_cast<char>(type)) + u16(value.size()) + value;
}

const std::string ipv4 = "\x0a\x01\x02\x03\x0a\x04\x05\x06\x30\x39\x01\xbb"s;
const std::string ipv6 =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x30\x39\x01\xbb"s;

std::string with_checksum(const std::string& block) {
    std::string header = v2(0x21, 0x11, block + tlv(0x03, std::string(4, '\0')));
    const std::uint32_t crc = pp::crc32c(std::as_bytes(std::span(header)));
    return header.substr(0, header.size() - 4) + u16(crc >> 16) + u16(crc);
}

const std::vector<std::string>& seeds() {
    static const std::vector<std::string> list{
        "PROXY TCP4 10.1.2.3 10.4.5.6 12345 443\r\n",
        "PROXY TCP4 255.255.255.255 0.0.0.1 65535 1\r\n",
        "PROXY TCP6 2001:db8::1 2001:DB8:0:0:1:2:3:4 12345 443\r\n",
        "PROXY TCP6 ::ffff:10.1.2.3 ::1 1 65535\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        v2(0x21, 0x11, ipv4),
        v2(0x21, 0x21, ipv6),
        v2(0x21, 0x11, ipv4 + tlv(0x02, "example.com") + tlv(0x04, "pad") + tlv(0xe0, "x")),
        v2(0x21, 0x21, ipv6 + tlv(0x05, "unique id")),
        v2(0x21, 0x00, ""),
        v2(0x20, 0x00, ""),
        v2(0x20, 0x11, ipv4),
        v2(0x20, 0x00, tlv(0xe0, "x")),
        v2(0x21, 0x31, std::string(216, 'u')),
        v2(0x21, 0x11, ipv4 + tlv(0xe1, std::string(200, 'l'))),
        with_checksum(ipv4 + tlv(0x02, "example.com")),
        with_checksum(ipv4),
    };
    return list;
}

void mutate(std::string& bytes, Random& random) {
    static constexpr std::string_view likely =
        " \r\n\t.:0159afAFx-+\0\x01\x02\x03\x04\x11\x12\x20\x21\x22\xff";
    const auto at = random.below(static_cast<std::uint32_t>(bytes.size()));
    const char other = random.below(2) == 0
                           ? likely[random.below(static_cast<std::uint32_t>(likely.size()))]
                           : static_cast<char>(random.below(256));
    switch (random.below(6)) {
        case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
        case 1:
        case 2: bytes[at] = other; break;
        case 3:
            if (bytes.size() > 1) bytes.erase(at, 1);
            break;
        case 4: bytes.insert(at, 1, other); break;
        default: bytes.insert(at, bytes.substr(at, 1 + random.below(8)));
    }
}

std::vector<std::string> headers(std::size_t count) {
    Random random(15);
    std::vector<std::string> list = seeds();
    while (list.size() < count) {
        std::string bytes = seeds()[random.below(static_cast<std::uint32_t>(seeds().size()))];
        for (auto left = 1 + random.below(3); left > 0; --left) mutate(bytes, random);
        if (random.below(10) == 0)
            bytes.resize(random.below(static_cast<std::uint32_t>(bytes.size())) + 1);
        list.push_back(std::move(bytes));
    }
    return list;
}

// ------------------------------------------------------------------ explained differences

struct Difference {
    std::string_view who;
    bool takes;  // what the reader refuses; false: it refuses what the reader takes
    bool (*applies)(const std::string& bytes, const pp::Reading& reading);
    const char* why;
};

bool is_v1(const std::string& bytes) { return bytes.starts_with("PROXY"); }
bool is_local(const std::string& bytes) { return bytes.size() > 12 && bytes[12] == '\x20'; }
bool about(const pp::Reading& reading, std::string_view words) {
    return reading.problem.contains(words);
}

const std::vector<Difference>& differences() {
    using Bytes = const std::string&;
    using Reading = const pp::Reading&;
    static const std::vector<Difference> list{
        {"haproxy", false, [](Bytes bytes, Reading) { return bytes.starts_with("PROXY UNKNOWN "); },
         "takes UNKNOWN alone, although the rest of the line is to be ignored"},
        {"haproxy", false,
         [](Bytes bytes, Reading reading) {
             return !is_v1(bytes) && !is_local(bytes) && reading.header.source.empty();
         },
         "2.6 looks for TLVs in the wrong place when it does not know the family"},
        {"haproxy", true,
         [](Bytes bytes, Reading reading) {
             return is_local(bytes) && (about(reading, "a TLV") || about(reading, "checksum"));
         },
         "looks into no header of the command LOCAL"},
        {"haproxy", true,
         [](Bytes bytes, Reading reading) {
             return is_v1(bytes) && about(reading, "is no address of its family");
         },
         "fills up IPv4 addresses, takes leading zeros, and lets octets overflow"},
        {"haproxy", true,
         [](Bytes bytes, Reading reading) {
             return is_v1(bytes) && about(reading, "port is no number");
         },
         "lets ports overflow, and ignores what follows the fields"},
        {"nginx", false, [](Bytes, Reading reading) { return reading.length > pp::longest_v1; },
         "1.22 reads 107 bytes, also of version 2"},
        {"nginx", true, [](Bytes, Reading reading) { return about(reading, "a TLV"); },
         "1.22 skips TLVs unseen"},
        {"nginx", true, [](Bytes, Reading reading) { return about(reading, "checksum"); },
         "1.22 skips TLVs unseen, and the checksum with them"},
        {"nginx", true,
         [](Bytes, Reading reading) { return about(reading, "neither LOCAL nor PROXY"); },
         "takes every command but PROXY for LOCAL"},
        {"nginx", true,
         [](Bytes, Reading reading) {
             return about(reading, "family or protocol is unknown") || about(reading, "datagram");
         },
         "takes what is no stream, and families it does not know, as without addresses"},
        {"nginx", true,
         [](Bytes bytes, Reading reading) {
             return bytes.starts_with("PROXY UNKNOWN") &&
                    (about(reading, "carriage return") || about(reading, "protocol is none"));
         },
         "skips everything behind UNKNOWN up to the end of a line"},
        {"nginx", true,
         [](Bytes bytes, Reading reading) {
             return is_v1(bytes) && about(reading, "is no address of its family");
         },
         "looks at the characters of addresses alone"},
        {"nginx", true,
         [](Bytes bytes, Reading reading) {
             return is_v1(bytes) && about(reading, "port is no number");
         },
         "takes leading zeros of ports"},
        {"nginx", true,
         [](Bytes bytes, Reading reading) {
             return bytes.size() > 13 && bytes[13] == '\x31' && about(reading, "shorter than");
         },
         "knows no unix sockets, and so no length of their addresses"},
    };
    return list;
}

TEST(ProxyProtocol, P15_AsHaproxyAndNginxRead) {
    // All of them where there is time; a slow machine has seen enough after a minute.
    constexpr std::size_t cases = 100'000;
    constexpr std::size_t fewest = 10'000;
    const TimePoint enough = SteadyClock().now() + std::chrono::minutes(1);
    std::size_t done = 0;
    HaproxyReader haproxy;
    NginxReader nginx;
    std::vector<int> uses(differences().size());
    const auto explained = [&uses](std::string_view who, bool takes, const std::string& bytes,
                                   const pp::Reading& reading) {
        bool found = false;
        for (std::size_t i = 0; i < uses.size(); ++i) {
            const Difference& one = differences()[i];
            if (one.who != who || one.takes != takes || !one.applies(bytes, reading)) continue;
            ++uses[i];
            found = true;
        }
        return found;
    };
    for (const std::string& bytes : headers(cases)) {
        if (++done > fewest && SteadyClock().now() >= enough) break;
        const std::string all = bytes + std::string(payload);
        const auto reading = pp::read(std::as_bytes(std::span(all)), {});
        const Verdict ours = verdict_of(reading);
        const Verdict of_haproxy = ask(haproxy, bytes, ours);
        if (ours.accepted && of_haproxy.accepted) {
            EXPECT_EQ(haproxy.follows(), all.substr(reading.length));
        }
        for (const auto& [who, theirs] :
             {std::pair{"haproxy", of_haproxy}, std::pair{"nginx", ask(nginx, bytes, ours)}}) {
            if (ours == theirs) continue;
            const bool other_verdict = ours.accepted != theirs.accepted;
            EXPECT_TRUE(other_verdict && explained(who, theirs.accepted, bytes, reading))
                << testing::PrintToString(bytes) << "\n  ours: " << ours << " (" << reading.problem
                << ")\n  " << who << ": " << theirs;
        }
    }
    for (std::size_t i = 0; i < uses.size(); ++i)
        EXPECT_GT(uses[i], 0) << "no such difference any more: " << differences()[i].who << ' '
                              << differences()[i].why;
}

}  // namespace
}  // namespace penstock::test
