#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "app/helper_thread.hpp"
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

    /// What the files of every listener contain, empty where none is named, and what follows from
    /// that; in the listeners' order. Any thread. The error is for the user.
    struct Loaded {
        std::vector<Files> files;
        AccessPolicies policies;
    };
    [[nodiscard]] static std::expected<Loaded, std::string> load(const config::Config& config);

    /// All arguments must outlive the object.
    AccessFiles(boost::asio::io_context& context, Server& server, Logger& log);
    ~AccessFiles();
    AccessFiles(const AccessFiles&) = delete;
    AccessFiles& operator=(const AccessFiles&) = delete;

    /// Makes the thread that follow() needs for this configuration; throws std::system_error where
    /// there can be none.
    void prepare(const config::Config& config);
    /// From now on the files of this configuration, of which the server has `loaded`.
    void follow(const ConfigPtr& config, std::vector<Files> loaded);
    /// Ends the watch, so that the io_context may run out of work. What is being built may still be
    /// handed to it: the object must live until the io_context has stopped.
    void stop();
    /// After stop(): from now on no other thread posts anything for them.
    bool join(TimePoint deadline = no_deadline) { return !builder_ || builder_->end(deadline); }
    /// For the log: empty if no file ever changed.
    [[nodiscard]] std::string summary() const;

private:
    struct Built {
        std::expected<Files, std::vector<config::Diagnostic>> files;
        std::shared_ptr<const proxy::AccessPolicy> policy;
    };
    struct Listener {
        std::shared_ptr<const config::Listener> settings;
        Files in_force;
        bool building = false;
        bool changed_again = false;
    };

    [[nodiscard]] static std::expected<Files, std::vector<config::Diagnostic>> read(
        const config::Listener& listener);
    void reload(const std::string& listener);
    void on_built(const std::shared_ptr<const config::Listener>& settings, Built built);

    boost::asio::io_context& context_;
    Server& server_;
    Logger& log_;
    std::map<std::string, Listener> listeners_;  // those with files
    net::FileWatch watch_;
    std::uint64_t taken_ = 0;
    std::uint64_t rejected_ = 0;
    bool stopped_ = false;
    std::optional<HelperThread> builder_;  // if there is any file
};

}  // namespace penstock::app
