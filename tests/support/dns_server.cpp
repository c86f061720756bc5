#include "tests/support/dns_server.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace penstock::test {

namespace {

constexpr std::size_t header = 12;

std::string number(std::uint32_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
    return out;
}

UniqueFd bind_to(int type, std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return UniqueFd();
    return fd;
}

std::uint16_t port_of(const UniqueFd& fd) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &size);
    return ntohs(at.sin_port);
}

bool read_all(int fd, std::string& into) {
    std::size_t done = 0;
    while (done < into.size()) {
        const auto n = ::recv(fd, into.data() + done, into.size() - done, 0);
        if (n <= 0) return false;
        done += static_cast<std::size_t>(n);
    }
    return true;
}

}  // namespace

DnsServer::DnsServer(Script script, std::uint16_t port) : script_(std::move(script)) {
    for (int tries = 0; tries < 100 && !tcp_; ++tries) {
        udp_ = bind_to(SOCK_DGRAM, port);
        port_ = port_of(udp_);
        tcp_ = bind_to(SOCK_STREAM, port_);
    }
    if (!tcp_) throw std::runtime_error("no port that is free for UDP and TCP");
    other_ = bind_to(SOCK_DGRAM, 0);
    ::listen(tcp_.get(), 16);
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] { serve(); });
}

DnsServer::~DnsServer() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
    thread_.join();
}

void DnsServer::set(Script script) {
    const std::scoped_lock lock(mutex_);
    script_ = std::move(script);
}

void DnsServer::serve() {
    for (;;) {
        std::array<pollfd, 3> wait{
            {{udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
        if (::poll(wait.data(), wait.size(), -1) < 0) continue;
        if (wait[2].revents != 0) return;
        if (wait[0].revents != 0) answer_datagram();
        if (wait[1].revents != 0) answer_stream();
    }
}

void DnsServer::answer_datagram() {
    std::string query(4096, '\0');
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const auto n = ::recvfrom(udp_.get(), query.data(), query.size(), 0,
                              reinterpret_cast<sockaddr*>(&from), &size);
    if (n < static_cast<ssize_t>(header)) return;
    query.resize(static_cast<std::size_t>(n));
    Reply reply;
    const auto text = answer(query, false, reply);
    if (reply.silent) return;
    const int by = reply.lie == Lie::other_port ? other_.get() : udp_.get();
    ::sendto(by, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
}

// One query per connection, in pieces of a few bytes.
void DnsServer::answer_stream() {
    const UniqueFd client(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const timeval limit{5, 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string length(2, '\0');
    if (!read_all(client.get(), length)) return;
    std::string query(static_cast<std::size_t>(static_cast<unsigned char>(length[0])) << 8 |
                          static_cast<unsigned char>(length[1]),
                      '\0');
    if (query.size() < header || !read_all(client.get(), query)) return;
    ++over_tcp_;
    Reply reply;
    const auto text = answer(query, true, reply);
    if (reply.silent) return;
    const auto whole = number(static_cast<std::uint32_t>(text.size()), 2) + text;
    for (std::size_t at = 0; at < whole.size(); at += 700)
        ::send(client.get(), whole.data() + at, std::min<std::size_t>(700, whole.size() - at),
               MSG_NOSIGNAL);
}

std::string DnsServer::answer(const std::string& query, bool over_tcp, Reply& reply) {
    ++queries_;
    std::string name;
    std::size_t at = header;
    while (at < query.size() && query[at] != 0) {
        const auto label = static_cast<unsigned char>(query[at]);
        if (!name.empty()) name += '.';
        name += query.substr(at + 1, label);
        at += label + 1U;
    }
    const auto question = query.substr(header, at + 5 - header);
    const auto type = static_cast<std::uint16_t>(static_cast<unsigned char>(query.at(at + 1)) << 8 |
                                                 static_cast<unsigned char>(query.at(at + 2)));
    {
        const std::scoped_lock lock(mutex_);
        reply = script_(name, type, over_tcp);
    }
    auto id = query.substr(0, 2);
    if (reply.lie == Lie::wrong_id) id[0] = static_cast<char>(id[0] ^ 0x55);
    if (!reply.raw.empty()) return id + reply.raw;
    const bool cut = reply.truncated && !over_tcp;
    const auto count = cut ? 0 : static_cast<std::uint32_t>(reply.answers.size());
    std::string text = id + number(0x8180U | (cut ? 0x200U : 0U) | reply.rcode, 2) + number(1, 2) +
                       number(count, 2) + number(0, 4);
    text += reply.lie == Lie::wrong_question
                ? wire("elsewhere.test") + number(type, 2) + number(1, 2)
                : question;
    for (std::uint32_t i = 0; i < count; ++i) {
        const Record& record = reply.answers[i];
        text += record.owner.empty() ? number(0xc00c, 2) : wire(record.owner);
        text += number(record.type, 2) + number(1, 2) + number(record.ttl, 4) +
                number(static_cast<std::uint32_t>(record.data.size()), 2) + record.data;
    }
    return text;
}

std::string DnsServer::wire(const std::string& name) {
    std::string out;
    for (std::size_t at = 0; at < name.size();) {
        const auto dot = std::min(name.find('.', at), name.size());
        out += static_cast<char>(dot - at);
        out += name.substr(at, dot - at);
        at = dot + 1;
    }
    return out + '\0';
}

DnsServer::Record DnsServer::ipv4(const std::string& address, std::uint32_t ttl) {
    std::string data(4, '\0');
    ::inet_pton(AF_INET, address.c_str(), data.data());
    return {.type = a, .ttl = ttl, .data = data};
}

DnsServer::Record DnsServer::ipv6(const std::string& address, std::uint32_t ttl) {
    std::string data(16, '\0');
    ::inet_pton(AF_INET6, address.c_str(), data.data());
    return {.type = aaaa, .ttl = ttl, .data = data};
}

DnsServer::Record DnsServer::alias(const std::string& target, const std::string& owner) {
    return {.type = cname, .data = wire(target), .owner = owner};
}

DnsServer::Record DnsServer::service(std::uint16_t priority, std::uint16_t weight,
                                     std::uint16_t port, const std::string& target,
                                     std::uint32_t ttl) {
    return {.type = srv,
            .ttl = ttl,
            .data = number(priority, 2) + number(weight, 2) + number(port, 2) + wire(target)};
}

DnsServer::Script DnsServer::always(std::vector<Record> addresses) {
    return [addresses = std::move(addresses)](const std::string&, std::uint16_t type, bool) {
        Reply reply;
        for (const Record& record : addresses)
            if (record.type == type) reply.answers.push_back(record);
        return reply;
    };
}

}  // namespace penstock::test
