#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "config/upstream.hpp"
#include "health/discovery/discovered.hpp"
#include "health/discovery/source.hpp"

namespace penstock::health {

/// All backends of an upstream: the listed ones with an address, those behind host names, and those
/// of its [[discovery]] tables. Keeps looking, and tells when the list changes. The last good
/// answer of each source counts until a better one comes. Control thread; nothing blocks it.
class Discovery {
public:
    /// The whole list, in a stable order. Called on the control thread, never from within start().
    using OnChange = std::function<void(const std::vector<Discovered>&)>;
    /// A source has begun to fail, or is well again. Called as OnChange is.
    using OnTurn = std::function<void(const SourceStatus&)>;

    struct Options {
        /// Where this proxy itself listens: never a backend found by name.
        std::vector<Endpoint> own_addresses;
        std::uint64_t seed = 0;
    };

    /// `context`, `reader` and `log` must outlive the object; `reader`, which reads files, must
    /// have ended before `context` does.
    Discovery(boost::asio::io_context& context, boost::asio::thread_pool& reader,
              const config::Upstream& settings, Options options, Logger& log);
    ~Discovery();
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;

    /// True if there is anything to look up or watch; else list() never changes.
    [[nodiscard]] bool is_dynamic() const noexcept;
    void start(OnChange on_change, OnTurn on_turn = {});
    /// From now on these are the sources. Those that are as before go on undisturbed; one that
    /// looks in the same place in another way replaces its forerunner with its first answer.
    /// list() follows at once, without a call of `on_change`.
    void configure(const config::Upstream& settings, std::vector<Endpoint> own_addresses);
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
    [[nodiscard]] std::vector<SourceStatus> sources() const;

private:
    struct Entry;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::health
