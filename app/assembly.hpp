#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "app/access_files.hpp"
#include "app/admin_api.hpp"
#include "app/capacity.hpp"
#include "app/exit_status.hpp"
#include "app/inheritance.hpp"
#include "app/monitors.hpp"
#include "app/reload/reloader.hpp"
#include "app/sandbox/sandbox.hpp"
#include "app/server.hpp"
#include "app/service_manager.hpp"
#include "app/tls/tls_files.hpp"
#include "app/upgrade/launcher.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/upgrade/program.hpp"
#include "app/upgrade/upgrader.hpp"
#include "net/logger.hpp"

namespace penstock::app {

/// What to serve, and where it came from.
struct Origin {
    ConfigPtr config;
    std::string file{};  // the configuration's, absolute; "" = there is none to reload
    std::vector<std::string> files{};  // all that were read
    std::vector<std::string> patterns{};  // of included files
    std::optional<upgrade::Program> program{};  // nothing: cannot be upgraded
    upgrade::Launcher* launcher = nullptr;  // of that program; null: none, or process 1
    ServiceManager manager{};
};

/// Why nothing was started.
struct StartFailure {
    std::string message;
    ExitStatus status;
};

/// All parts of a running proxy, wired to each other, in the order in which they need each other.
/// Control thread.
struct Assembly {
    /// Everything that can fail; nothing is accepted yet. What is passed must outlive the result.
    [[nodiscard]] static std::expected<std::unique_ptr<Assembly>, StartFailure> open(
        const Origin& origin, const Capacity& capacity, boost::asio::io_context& context,
        net::ProcessLog& log, Inheritance& inheritance);

    /// Ends all other threads. Nothing is posted to the loop any more, so that what waits there can
    /// be destroyed. Of helpers that wait too long, perhaps for a disk that hangs, it returns what
    /// they do: what they have is theirs, and nothing can be destroyed.
    [[nodiscard]] std::vector<std::string_view> join();

    sandbox::Sandbox sandbox;  // none until everything is open
    TicketKeyBook ticket_keys;
    std::unique_ptr<Monitors> monitors;
    std::unique_ptr<Server> server;
    std::unique_ptr<upgrade::OldProcesses> old;
    std::unique_ptr<AdminApi> admin;
    std::unique_ptr<AccessFiles> access_files;
    std::unique_ptr<TlsFiles> tls_files;
    std::unique_ptr<Reloader> reloader;
    std::unique_ptr<upgrade::Upgrader> upgrader;  // null = cannot be upgraded

private:
    void make_changers(const Origin& origin, boost::asio::io_context& context,
                       net::ProcessLog& log);
    void follow_files(const Origin& origin, boost::asio::io_context& context, net::ProcessLog& log,
                      AccessFiles::Loaded access, TlsMaterial tls);
    void wire(boost::asio::io_context& context);
};

}  // namespace penstock::app
