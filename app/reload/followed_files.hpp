#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "admin/plan.hpp"
#include "app/server.hpp"
#include "base/log.hpp"
#include "net/file_watch.hpp"

namespace penstock::app {

/// The files that the configuration was read from, followed on disk: what a change of them comes to
/// is what process.watch_config says, a reload or a word in the log. Control thread.
class FollowedFiles {
public:
    /// The configuration as it is on disk now.
    struct Look {
        std::vector<std::string> files{};  // that were read
        std::vector<std::string> patterns{};  // of included files
        admin::Plan plan{};
    };
    struct Parts {
        boost::asio::io_context& context;
        Server& server;
        Logger& log;
        std::function<boost::asio::awaitable<Look>()> look;
        std::function<void()> apply;  // a reload is wanted
    };
    explicit FollowedFiles(Parts parts);

    /// What was read, and what may come to be read; what is followed else goes, or stays.
    enum class Others : std::uint8_t { go, stay };
    void follow(const std::vector<std::string>& files, const std::vector<std::string>& patterns,
                Others others);
    void stop();

private:
    /// True: something of it had not been watched before.
    bool watch_also(const std::vector<std::string>& files,
                    const std::vector<std::string>& patterns);
    boost::asio::awaitable<void> look_again();
    void on_change();
    boost::asio::awaitable<void> tell();

    Parts parts_;
    net::FileWatch watch_;
    boost::asio::steady_timer start_;  // until the server runs
    bool asked_ = false;  // for tell()
    bool stopped_ = false;
};

}  // namespace penstock::app
