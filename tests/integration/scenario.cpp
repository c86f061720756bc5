#include "tests/integration/scenario.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace penstock::test {

ConfigText one_service(std::vector<std::string> backends, std::string timeouts,
                       std::string upstream, std::string listener) {
    Service service;
    service.backends = std::move(backends);
    service.timeouts = std::move(timeouts);
    service.upstream = std::move(upstream);
    service.listener = std::move(listener);
    ConfigText config;
    config.services.push_back(std::move(service));
    return config;
}

bool ping(Socket& socket, std::string_view text, milliseconds limit) {
    return socket.send(text, limit) && socket.receive_text(text.size(), limit) == text;
}

std::optional<milliseconds> echo_once(const Address& proxy, milliseconds limit,
                                      const SocketOptions& options) {
    const auto start = Clock::now();
    auto socket = Socket::connect(proxy, options, limit);
    if (!socket || !ping(*socket, "a probe", limit)) return std::nullopt;
    const auto took = since(start);
    socket->finish();
    if (socket->wait_end(limit) != End::fin) return std::nullopt;
    return took;
}

std::optional<Socket> established(const Address& proxy, const SocketOptions& options) {
    auto socket = Socket::connect(proxy, options);
    if (!socket || !ping(*socket)) return std::nullopt;
    return std::move(*socket);
}

std::size_t descriptor_baseline(const ProxyProcess& proxy,
                                const std::vector<std::string>& listeners) {
    const std::size_t before = proxy.descriptors();
    for (const std::string& listener : listeners)
        EXPECT_TRUE(echo_once(proxy.address(listener))) << listener;
    // The warm-up's own descriptors are on their way out: wait until the number stands still.
    std::size_t settled = 0;
    int same = 0;
    wait_for([&] {
        const std::size_t now = proxy.descriptors();
        same = now == settled && now <= before ? same + 1 : 0;
        settled = now;
        return same == 20;
    });
    return settled;
}

void expect_no_loss(Traffic& traffic, const ProxyProcess& proxy, std::size_t others) {
    traffic.finish();
    EXPECT_GT(traffic.opened(), 0U);
    EXPECT_EQ(traffic.completed(), traffic.opened());
    std::string text;
    for (const std::string& problem : traffic.problems()) text += problem + "\n";
    EXPECT_EQ(text.substr(0, 3000), "") << proxy.errors().substr(0, 20'000);
    expect_clean(traffic.ledger(), proxy, others);
}

// 22 bits of the process id within 127.64.0.0/10, which nobody else's tests use.
std::string own_address(unsigned port) {
    const auto pid = static_cast<unsigned>(::getpid()) & 0x3F'FFFF;
    return "127." + std::to_string(64 + (pid >> 16)) + "." + std::to_string(pid >> 8 & 255) + "." +
           std::to_string(pid & 255) + ":" + std::to_string(port);
}

std::vector<LogLine> expect_lines(const ProxyProcess& proxy, std::size_t count,
                                  milliseconds limit) {
    auto lines = proxy.access_log().wait_for_lines(count, limit);
    EXPECT_EQ(lines.size(), count);
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    return lines;
}

void expect_clean(const Ledger& ledger, const ProxyProcess& proxy, std::size_t others) {
    Verdict verdict = judge_integrity(ledger);
    verdict.add(judge_closes(ledger));
    std::size_t accepted = 0;
    std::vector<std::string> known;
    for (const ConnectionRecord& record : ledger.records()) {
        if (record.client_address.empty()) continue;
        ++accepted;
        known.push_back(leg_of(record));
    }
    std::ranges::sort(known);
    const auto lines = proxy.access_log().wait_for_lines(accepted + others);
    EXPECT_EQ(lines.size(), accepted + others);
    verdict.add(judge_lines(lines));
    std::vector<LogLine> own;
    std::ranges::copy_if(lines, std::back_inserter(own), [&](const LogLine& line) {
        return std::ranges::binary_search(known, leg_of(line));
    });
    verdict.add(judge_log(ledger, own));
    EXPECT_TRUE(verdict.clean()) << verdict.text() << proxy.errors();
}

void expect_descriptors(const ProxyProcess& proxy, std::size_t baseline, std::size_t workers) {
    const auto back = [&] {
        const std::size_t now = proxy.descriptors();
        // Fewer: what was on its way out when the baseline was taken.
        return now <= baseline || (now <= baseline + 2 * workers && (now - baseline) % 2 == 0);
    };
    EXPECT_TRUE(wait_for(back)) << "baseline " << baseline << ", now " << proxy.descriptors();
}

void expect_idle(const ProxyProcess& proxy, milliseconds span) {
    EXPECT_TRUE(wait_for([&] { return proxy.cpu_per_second(span) < scaled(20ms); }));
}

bool stops_accepting(const Address& address) {
    return wait_for([&] {
        const auto socket = Socket::connect(address);
        return !socket && socket.error() == ECONNREFUSED;
    });
}

ChaosBackend::Script Ticker::script() {
    return [this](Socket& socket, const ChaosBackend& backend) {
        auto last = Clock::now();
        while (!backend.stopping() && socket.send("tick")) {
            std::this_thread::sleep_for(20ms);  // the pace
            longest_ = std::max(longest_.load(), since(last));
            last = Clock::now();
        }
        seen_ = backend.wait_end(socket);
    };
}

End Ticker::wait() const {
    wait_for([this] { return seen_.load() != End::open; });
    return seen_;
}

std::string reasons_other_than(const std::vector<LogLine>& lines, std::string_view expected) {
    std::string out;
    for (const LogLine& line : lines)
        if (line.reason != expected) out += line.raw + "\n";
    return out.substr(0, 3000);
}

Probe::Probe(Action action) : action_(std::move(action)) {
    thread_ = std::thread([this] {
        while (!stop_) {
            const auto next = Clock::now() + 20ms;
            if (const auto took = action_()) {
                times_.push_back(*took);
            } else {
                ++failed_;
            }
            const auto wake_up = std::max(next, Clock::now() + 1ms);
            std::this_thread::sleep_until(wake_up);  // the probe's pace
            stall_ = std::max(stall_, since(wake_up));
        }
    });
}

Probe::~Probe() { finish(); }

Probe::Result Probe::finish() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    Result result{times_.size(), failed_, {}, stall_};
    if (!times_.empty()) {
        std::ranges::sort(times_);
        result.p99 = times_[(times_.size() - 1) * 99 / 100];
    }
    return result;
}

void expect_undisturbed(const Probe::Result& result) {
    EXPECT_GT(result.count, 0U);
    EXPECT_EQ(result.failed, 0U);
    EXPECT_LT(result.p99, scaled(3s) + 2 * result.stall);
}

bool is_undisturbed(const Probe::Result& quiet, const Probe::Result& result) {
    const milliseconds usual = std::max(quiet.p99, 4ms);
    return result.p99 < std::min(100ms, 5 * usual) + 2 * result.stall;
}

}  // namespace penstock::test
