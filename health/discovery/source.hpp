#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "health/discovery/address_filter.hpp"
#include "health/discovery/discovered.hpp"

namespace penstock::health {

/// What an operator may want to know of a source.
struct SourceStatus {
    std::string what;  // `dns web.internal`, `file /etc/penstock/web.list`
    std::uint64_t answers = 0;
    std::uint64_t failures = 0;
    std::string last_error;     // "" = the last one was good
    WallTime last_success{};    // the epoch = none yet
    bool is_dns = false;        // else a file
    std::uint64_t ignored = 0;  // addresses that were refused, or above max_backends
    std::size_t backends = 0;
};

/// What the sources of an upstream share. Outlives them.
struct SourceShared {
    boost::asio::io_context& context;
    boost::asio::thread_pool& reader;  // for files
    const std::string& upstream;  // its name, for the log
    const AddressFilter& filter;
    Logger& log;
    std::uint64_t seed;
    std::function<void()> on_change;  // a source's list may have changed, or it has settled
    /// It has begun to fail, or its answers are good again.
    std::function<void(const SourceStatus&)> on_turn;
};

/// How the last look ended: "" = well. Tells if that is another turn than before.
inline void set_last_error(SourceStatus& status, std::string error, const SourceShared& shared) {
    const bool turns = status.last_error.empty() != error.empty();
    status.last_error = std::move(error);
    if (turns && shared.on_turn) shared.on_turn(status);
}

/// Where backends come from. Control thread.
class Source {
public:
    virtual ~Source() = default;
    virtual void start() = 0;
    virtual void stop() = 0;
    /// As it is now.
    [[nodiscard]] virtual std::vector<Discovered> list() const = 0;
    /// It has answered, or failed once.
    [[nodiscard]] virtual bool settled() const = 0;
    virtual void on_check(std::string_view name, bool up) = 0;
    virtual void add_status(std::vector<SourceStatus>& to) const = 0;
};

}  // namespace penstock::health
