#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "app/server.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "config/diagnostic.hpp"
#include "net/file_watch.hpp"
#include "proxy/gate/access_policy.hpp"

namespace penstock::app {

/// Keeps in force what the listeners' `allow_file` and `deny_file` say: each change is read and
/// built on a thread of its own and sent to the workers; a file that is wrong or missing changes
/// nothing and is logged. Live sessions stay. Everything but the building runs on the thread of the
/// io_context.
class AccessFiles {
public:
    using Files = proxy::AccessPolicy::Files;

    /// Of every listener, in their order; empty ones where no file is named. The error is for the
    /// user.
    [[nodiscard]] static std::expected<std::vector<Files>, std::string> load(
        const config::Config& config);

    /// `loaded` is what `server` was opened with. All arguments must outlive the object.
    AccessFiles(boost::asio::io_context& context, const config::Config& config,
                std::vector<Files> loaded, Server& server, Logger& log);
    ~AccessFiles();
    AccessFiles(const AccessFiles&) = delete;
    AccessFiles& operator=(const AccessFiles&) = delete;

    /// Ends the watch, so that the io_context may run out of work.
    void stop() { watch_.stop(); }
    /// For the log: empty if no file ever changed.
    [[nodiscard]] std::string summary() const;

private:
    struct Built {
        std::expected<Files, std::vector<config::Diagnostic>> files;
        std::shared_ptr<const proxy::AccessPolicy> policy;
    };
    struct Listener {
        const config::Listener* settings;
        Files in_force;
        bool building = false;
        bool changed_again = false;
    };

    [[nodiscard]] static std::expected<Files, std::vector<config::Diagnostic>> read(
        const config::Listener& listener);
    void reload(std::size_t index);
    void on_built(std::size_t index, Built built);

    boost::asio::io_context& context_;
    Server& server_;
    Logger& log_;
    std::vector<Listener> listeners_;
    net::FileWatch watch_;
    std::uint64_t taken_ = 0;
    std::uint64_t rejected_ = 0;
    std::optional<boost::asio::thread_pool> builder_;  // if there is any file
};

}  // namespace penstock::app
