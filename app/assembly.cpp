#include "app/assembly.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

#include "app/process.hpp"
#include "app/sandbox/capabilities.hpp"
#include "app/sandbox/every_thread.hpp"

namespace penstock::app {

namespace {

constexpr Duration longest_end = std::chrono::seconds(5);  // of what helpers have begun
constexpr std::uint64_t buffer_share_of_memory = 4;  // a quarter
constexpr std::uint64_t smallest_buffer_cap = 16U << 20;

std::size_t buffer_cap() {
    return static_cast<std::size_t>(
        std::max(usable_memory() / buffer_share_of_memory, smallest_buffer_cap));
}

std::string joined(const std::vector<std::string>& errors) {
    std::string text;
    for (const auto& error : errors) text += (text.empty() ? "" : "; ") + error;
    return text;
}

}  // namespace

std::expected<std::unique_ptr<Assembly>, StartFailure> Assembly::open(
    const Origin& origin, const Capacity& capacity, boost::asio::io_context& context,
    net::ProcessLog& log, Inheritance& inheritance) {
    const auto& config = *origin.config;
    const auto invalid = [](std::string message) {
        return std::unexpected(StartFailure{std::move(message), ExitStatus::invalid_usage});
    };
    const auto failed = [](std::string message) {
        return std::unexpected(StartFailure{std::move(message), ExitStatus::failure});
    };
    auto access = AccessFiles::load(config);
    if (!access) return invalid(access.error());
    auto proxy = std::make_unique<Assembly>();
    inheritance.restore_tickets(proxy->ticket_keys);
    auto tls = load_tls(config, proxy->ticket_keys);
    if (!tls) return invalid(joined(tls.error()));
    for (const auto& warning : tls->warnings()) log.warn("{}", warning);
    const auto inputs = Monitors::read_inputs(config, tls->contexts());
    if (!inputs) return invalid(inputs.error());
    proxy->monitors = std::make_unique<Monitors>(context, config, *inputs, capacity.workers, log);
    inheritance.restore_overrides(*proxy->monitors, config, log);
    auto server =
        Server::open(origin.config,
                     {capacity.workers, capacity.limit.connections, buffer_cap(), access->policies,
                      tls->contexts(), proxy->monitors->snapshots(), &inheritance.sockets()},
                     log);
    if (!server) return failed(server.error());
    proxy->server = *std::move(server);
    proxy->old = std::make_unique<upgrade::OldProcesses>(context, log);
    auto admin = AdminApi::open({context, *proxy->server, *proxy->monitors, log}, capacity.limit,
                                tls->contexts(), inheritance.take_admin_sockets());
    if (!admin) return failed(admin.error());
    proxy->admin = *std::move(admin);
    // As another user it could not any more. Where it cannot now, the sandbox says what is missing.
    if (sandbox::possible(config.process.sandbox) && !config.process.user.empty())
        static_cast<void>(sandbox::on_every_thread(sandbox::capabilities::drop_bounding_set));
    if (auto switched = switch_user(config.process.user, config.process.group); !switched)
        return failed(switched.error());
    proxy->follow_files(origin, context, log, *std::move(access), *std::move(tls));
    proxy->make_changers(origin, context, log);
    proxy->wire(context);
    return proxy;
}

void Assembly::follow_files(const Origin& origin, boost::asio::io_context& context,
                            net::ProcessLog& log, AccessFiles::Loaded access, TlsMaterial tls) {
    access_files = std::make_unique<AccessFiles>(context, *server, log);
    access_files->follow(origin.config, std::move(access.files));
    tls_files = std::make_unique<TlsFiles>(context, *server, ticket_keys, log);
    tls_files->follow(origin.config, std::move(tls));
}

void Assembly::make_changers(const Origin& origin, boost::asio::io_context& context,
                             net::ProcessLog& log) {
    reloader = std::make_unique<Reloader>(
        Reloader::Parts{context, *server, *monitors, *access_files, *tls_files, ticket_keys, *admin,
                        sandbox, origin.manager, log},
        origin.file, origin.files);
    if (origin.program)
        upgrader = std::make_unique<upgrade::Upgrader>(
            upgrade::Upgrader::Parts{context, *server, *admin, *reloader, *old, ticket_keys, log,
                                     origin.manager, *origin.program, origin.launcher});
}

std::vector<std::string_view> Assembly::join() {
    server->join();
    std::vector<std::string_view> hung;
    // All are told before any is waited for.
    const TimePoint now = SteadyClock().now();
    for (const TimePoint deadline : {now, now + longest_end}) {
        hung.clear();
        const auto end = [&](auto& owner, std::string_view work) {
            if (!owner.join(deadline)) hung.push_back(work);
        };
        if (!server->end_logs(deadline)) hung.push_back("writes an access log");
        end(*reloader, "reads configurations");
        if (upgrader) end(*upgrader, "starts the program of an upgrade");
        end(*access_files, "reads lists of peers");
        end(*tls_files, "reads certificates");
        end(admin->service(), "writes answers of the admin API");
        end(*monitors, "builds sets of backends and reads their files");
    }
    return hung;
}

void Assembly::wire(boost::asio::io_context& context) {
    auto& service = admin->service();
    service.meet({.reloader = reloader.get(),
                  .upgrader = upgrader.get(),
                  .old = old.get(),
                  .tls_files = tls_files.get(),
                  .sandbox = &sandbox});
    tls_files->on_change(
        [&service](const std::string& text) { service.record_certificates(text); });
    tls_files->on_upstream([this](const std::string& upstream, const auto& changed) {
        monitors->set_tls(upstream, changed);
    });
    tls_files->on_admin(
        [this](const std::string& door, const auto& changed) { admin->set_tls(door, changed); });
    monitors->on_event([&service](const auto& upstream, const auto& event) {
        service.on_health_event(upstream, event);
    });
    monitors->on_backends([&service](const auto& upstream) { service.follow(upstream); });
    server->shared().on_limit = [&context, &service](const std::string& listener,
                                                     CloseReason reason, std::string text) {
        boost::asio::post(context, [&service, listener, reason, told = std::move(text)] {
            service.on_limit(listener, reason, told);
        });
    };
}

}  // namespace penstock::app
