// What a TCP check costs the control thread: CPU time of 2,000 of them, 50 at a time, against one
// listener that another thread serves. A thousand backends every 2 s are 500 a second.
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "health/probe/make_probe.hpp"

namespace {

using namespace penstock;
using namespace std::chrono_literals;

constexpr int checks = 2000;
constexpr int at_a_time = 50;

struct Cpu {
    double user;
    double system;
};

double microseconds(const timeval& time) {
    return 1e6 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec);
}

Cpu cpu_of_thread() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return {microseconds(usage.ru_utime), microseconds(usage.ru_stime)};
}

/// Accepts and closes what the client has closed.
class Listener {
public:
    Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const auto any = Endpoint::parse("127.0.0.1:0").value();
        sockaddr_storage storage;
        socklen_t length = any.to_sockaddr(storage);
        auto* name = reinterpret_cast<sockaddr*>(&storage);
        if (::bind(fd_, name, length) != 0 || ::listen(fd_, 1024) != 0) std::terminate();
        ::getsockname(fd_, name, &length);
        address_ = Endpoint::from_sockaddr(name, length);
        thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
    }
    ~Listener() {
        thread_.request_stop();
        ::shutdown(fd_, SHUT_RDWR);
        thread_.join();
        ::close(fd_);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    [[nodiscard]] const Endpoint& address() const { return address_; }

private:
    void serve(const std::stop_token& stop) const {
        while (!stop.stop_requested()) {
            const int guest = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (guest < 0) continue;
            char byte = 0;
            while (::recv(guest, &byte, 1, 0) > 0) {
            }
            ::close(guest);
        }
    }

    int fd_;
    Endpoint address_;
    std::jthread thread_;
};

class Run {
public:
    explicit Run(Endpoint address) : address_(std::move(address)) {
        config::Upstream upstream;
        upstream.health_check.type = config::CheckType::tcp;
        probe_ = health::make_probe(context_, upstream, {});
    }
    /// Returns how many were ok.
    int operator()() {
        left_ = checks;
        ok_ = 0;
        for (int i = 0; i < at_a_time; ++i) start();
        context_.restart();
        context_.run();
        return ok_;
    }

private:
    void start() {
        if (left_-- <= 0) return;
        const health::ProbeTarget target{.address = address_, .host = ""};
        boost::asio::co_spawn(context_, probe_->check(target, SteadyClock().now() + 10s),
                              [this](std::exception_ptr error, const health::ProbeResult& result) {
                                  if (error) std::rethrow_exception(error);
                                  ok_ += result.ok ? 1 : 0;
                                  start();
                              });
    }

    Endpoint address_;
    boost::asio::io_context context_;
    std::unique_ptr<health::Probe> probe_;
    int left_ = 0;
    int ok_ = 0;
};

}  // namespace

int main() {
    const Listener listener;
    Run run(listener.address());
    run();  // warms caches
    const Cpu before = cpu_of_thread();
    const int ok = run();
    const Cpu after = cpu_of_thread();
    const double user = (after.user - before.user) / checks;
    const double system = (after.system - before.system) / checks;
    fmt::print(
        "{} checks, {} ok: {:.1f} us of CPU each ({:.1f} user, {:.1f} system); 500/s = {:.2f} % of "
        "a core\n",
        checks, ok, user + system, user, system, (user + system) * 500 / 1e4);
    return ok == checks ? 0 : 1;
}
