#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "app/server.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "proxy/gate/memory_guard.hpp"

namespace penstock::app {

/// Looks at the memory of this process four times a second, and lets the workers know when it comes
/// near the limit: that of the configuration in force, else that of the cgroup, which it shares
/// with those it has taken over from. Control thread.
class MemoryWatch {
public:
    static constexpr Duration interval = std::chrono::milliseconds(250);

    /// Called when refusing begins or ends, with what the log says of it.
    using Handler = std::function<void(proxy::MemoryPressure now, const std::string& text)>;
    /// What other processes of the same cgroup have, in bytes.
    using Others = std::function<std::uint64_t()>;
    /// References must outlive the object.
    MemoryWatch(boost::asio::io_context& context, Server& server, Logger& log, Others others,
                Handler handler);

    void start();
    void stop();

private:
    void look();
    [[nodiscard]] bool is_limited_by_key() const;
    [[nodiscard]] std::uint64_t limit_now();
    [[nodiscard]] std::uint64_t memory_now() const;
    void tell(proxy::MemoryPressure before, std::uint64_t used);
    void save_memory(proxy::MemoryPressure before);

    Server& server_;
    Logger& log_;
    Others others_;
    Handler handler_;
    boost::asio::steady_timer timer_;
    proxy::MemoryGuard guard_;
    std::uint64_t cgroup_limit_ = 0;
    unsigned looks_ = 0;
    bool stopped_ = false;
};

}  // namespace penstock::app
