#include "app/operations/memory_watch.hpp"

#include <utility>

#include <fmt/format.h>
#include <malloc.h>

#include "app/limits.hpp"
#include "app/operations/usage.hpp"
#include "app/with_commas.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace {

using proxy::MemoryGuard;
using proxy::MemoryPressure;

constexpr unsigned looks_per_cgroup = 40;  // its limit seldom changes: every ten seconds
constexpr unsigned looks_per_trim = 20;

std::string mebibytes(std::uint64_t bytes) {
    return fmt::format("{} MiB", with_commas(bytes >> 20U));
}

}  // namespace

MemoryWatch::MemoryWatch(boost::asio::io_context& context, Server& server, Logger& log,
                         Others others, Handler handler)
    : server_(server),
      log_(log),
      others_(std::move(others)),
      handler_(std::move(handler)),
      timer_(context) {}

void MemoryWatch::start() { look(); }

void MemoryWatch::stop() {
    stopped_ = true;
    timer_.cancel();
}

void MemoryWatch::look() {
    if (stopped_) return;
    const auto before = guard_.pressure();
    guard_.set_limit(limit_now());
    const auto used = guard_.limit() == 0 ? 0 : memory_now();
    const auto now = guard_.observe(used);
    auto& shared = server_.shared().memory;
    shared.limit.store(guard_.limit(), std::memory_order_relaxed);
    shared.pressure.store(now, std::memory_order_relaxed);
    save_memory(before);
    tell(before, used);
    ++looks_;
    timer_.expires_at(net::to_asio(SteadyClock().now() + interval));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) look();
    });
}

bool MemoryWatch::is_limited_by_key() const { return server_.config().process.memory_limit != 0; }

std::uint64_t MemoryWatch::memory_now() const {
    return resident_memory() + (is_limited_by_key() ? 0 : others_());
}

std::uint64_t MemoryWatch::limit_now() {
    if (is_limited_by_key()) return server_.config().process.memory_limit;
    if (looks_ % looks_per_cgroup == 0) cgroup_limit_ = cgroup_memory_limit();
    return cgroup_limit_;
}

void MemoryWatch::tell(MemoryPressure before, std::uint64_t used) {
    const auto now = guard_.pressure();
    const bool overload = now == MemoryPressure::overload;
    if (overload == (before == MemoryPressure::overload)) return;
    const auto limit = guard_.limit();
    const auto text =
        overload ? fmt::format(
                       "memory: {} of {} ({}) are in use, new connections are refused until "
                       "it is less than {}",
                       mebibytes(used), mebibytes(limit),
                       is_limited_by_key() ? "process.memory_limit" : "limit of the cgroup",
                       mebibytes(limit / 100 * MemoryGuard::overload_below))
                 : std::string("memory: new connections are let in again");
    if (overload)
        log_.warn("{}", text);
    else
        log_.info("{}", text);
    handler_(now, text);
}

// What is kept for later use goes back to the system, else the pressure would never end.
void MemoryWatch::save_memory(MemoryPressure before) {
    const auto now = guard_.pressure();
    const bool tight = now != MemoryPressure::none;
    if (tight != (before != MemoryPressure::none)) server_.save_memory(tight);
    if (now != MemoryPressure::overload || looks_ % looks_per_trim != 0) return;
    server_.save_memory(true);
    ::malloc_trim(0);
}

}  // namespace penstock::app
