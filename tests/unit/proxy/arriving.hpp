#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/net/bytes.hpp"
#include "tests/unit/proxy/running_worker.hpp"

// What clients say before they are sent anywhere, for tests.
namespace penstock::proxy {

using namespace std::string_literals;

inline PeerList networks(const std::vector<std::string>& list) {
    PeerList out;
    for (const auto& text : list) out.prefixes.push_back(Prefix::parse(text).value());
    return out;
}

/// Everybody on this machine is trusted to send a PROXY header.
inline config::Listener behind_a_proxy() {
    config::Listener listener;
    listener.proxy_protocol = config::ProxyProtocol::any;
    listener.proxy_protocol_from = networks({"127.0.0.0/8"});
    return listener;
}
inline config::Listener named(const std::string& name) {
    config::Listener listener;
    listener.sni = {{name, "up"}};
    return listener;
}
inline config::Listener with_tls(std::uint64_t max_handshakes = 0) {
    config::Listener listener;
    listener.tls.emplace();
    listener.tls->max_handshakes = max_handshakes;
    return listener;
}

const std::string header_of_ten = "PROXY TCP4 10.0.0.9 192.0.2.1 5555 443\r\n";

/// A ClientHello for that name.
inline std::string hello(const std::string& name) {
    const auto extension = [](std::size_t type, const std::string& body) {
        return net::u16(type) + net::counted(2, body);
    };
    const std::string extensions =
        extension(0, net::counted(2, net::u8(0) + net::counted(2, name))) +
        extension(16, net::counted(2, net::counted(1, "h2") + net::counted(1, "http/1.1")));
    const std::string body = "\x03\x03"s + std::string(32, 'r') + net::counted(1, "") +
                             net::counted(2, "\x13\x01") + net::counted(1, "\0"s) +
                             net::counted(2, extensions);
    return net::u8(22) + "\x03\x01" + net::counted(2, net::u8(1) + net::counted(3, body));
}

/// Behind its length, which counts itself, as in PostgreSQL.
inline std::string counted_whole(const std::string& body) {
    std::string packet = net::counted(4, body + "1234");
    packet.resize(packet.size() - 4);
    return packet;
}

inline std::string read_exactly(const net::UniqueFd& fd, std::size_t size) {
    std::string text(size, '\0');
    const auto n = ::recv(fd.get(), text.data(), size, MSG_WAITALL);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    return text;
}

/// Each piece is read before the next one is sent.
inline void say_in_pieces(RunningWorker& running, const net::UniqueFd& fd, const std::string& text,
                          std::size_t size) {
    for (std::size_t at = 0; at < text.size(); at += size) {
        net::say(fd, text.substr(at, size));
        running.on_worker([] { return 0; });
    }
}

inline std::vector<SessionInfo> sessions_of(RunningWorker& running) {
    return running.on_worker([&] { return running.worker.list_sessions({}); });
}

inline void expect_end(RunningWorker& running, CloseReason reason, std::uint64_t count = 1) {
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(reason), count) << name_of(reason);
}

/// The line of the only session, once it has ended.
inline std::string line_of(RunningWorker& running) {
    EXPECT_TRUE(running.wait_for_sessions(0));
    const auto lines = running.on_worker([&] { return running.worker.closed_sessions().list({}); });
    return lines.size() == 1 ? lines[0].json : "not one line";
}
inline bool says(const std::string& line, const std::string& text) {
    return line.find(text) != std::string::npos;
}

}  // namespace penstock::proxy
