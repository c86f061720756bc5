#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "config/config.hpp"

namespace penstock::health {

/// One backend that an upstream should have now, from whichever source.
struct Discovered {
    std::string name;  // unique in its upstream: `a`, `NAME@IP:PORT`, `IP:PORT`
    Endpoint address;
    std::string host;  // the host name it was found under; "" = none
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    std::uint64_t max_connections = 0;
    config::BackendState state = config::BackendState::ready;

    bool operator==(const Discovered&) const = default;
};

/// All backends of an upstream: the listed ones with an address, those behind host names, and those
/// of its [[discovery]] tables. Keeps looking, and tells when the list changes. The last good
/// answer of each source counts until a better one comes. Control thread; nothing blocks it.
class Discovery {
public:
    /// The whole list, in a stable order. Called on the control thread, never from within start().
    using OnChange = std::function<void(const std::vector<Discovered>&)>;

    struct Options {
        /// Where this proxy itself listens: never a backend found by name.
        std::vector<Endpoint> own_addresses;
        std::uint64_t seed = 0;
    };

    /// `settings`, `context` and `log` must outlive the object.
    Discovery(boost::asio::io_context& context, const config::Upstream& settings, Options options,
              Logger& log);
    ~Discovery();
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;

    /// True if there is anything to look up or watch; else list() never changes.
    [[nodiscard]] bool is_dynamic() const noexcept;
    void start(OnChange on_change);
    /// Ends all waiting, so that the io_context may run out of work.
    void stop();

    /// As it is now.
    [[nodiscard]] const std::vector<Discovered>& list() const noexcept;
    /// Every source has answered, or has failed once.
    [[nodiscard]] bool settled() const noexcept;
    /// The check's verdict on a backend has changed: one that its source no longer names goes at
    /// once when it is down, instead of after removal_delay.
    void on_check(std::string_view name, bool up);

    /// For the operator and the counters.
    struct SourceStatus {
        std::string what;  // `dns web.internal`, `file /etc/penstock/web.list`
        std::uint64_t answers = 0;
        std::uint64_t failures = 0;
        std::string last_error;  // "" = the last one was good
        std::uint64_t ignored = 0;  // addresses that were refused, or above max_backends
        std::size_t backends = 0;
    };
    [[nodiscard]] std::vector<SourceStatus> sources() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::health
