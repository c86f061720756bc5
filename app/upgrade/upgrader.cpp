#include "app/upgrade/upgrader.hpp"

#include <csignal>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "admin/bodies.hpp"
#include "app/off_thread.hpp"
#include "app/refusals.hpp"
#include "app/version.hpp"
#include "app/with_commas.hpp"
#include "net/asio_words.hpp"

namespace penstock::app::upgrade {

namespace asio = boost::asio;

using admin::Outcome;
using admin::Refusal;
using admin::Upgraded;
using asio::awaitable;

namespace {

constexpr Duration figures_interval = std::chrono::seconds(1);
// Longer than an attempt of the new process to be replaced in its turn, in which it does not
// listen.
constexpr Duration last_figures_limit = std::chrono::seconds(75);

}  // namespace

Upgrader::Upgrader(Parts parts) : parts_(std::move(parts)), timer_(parts_.context) {}

void Upgrader::stop() {
    stopped_ = true;
    timer_.cancel();
    if (starting_) parts_.launcher->hurry();
    if (next_) next_->channel().close();
}

void Upgrader::request(std::string actor) {
    asio::co_spawn(
        parts_.context,
        [](Upgrader& self, std::string who) -> awaitable<void> {
            auto upgrading = self.upgrade(std::move(who));
            const auto outcome = co_await std::move(upgrading);
            if (!outcome) self.parts_.log.error("upgrade: {}", outcome.error().error);
        }(*this, std::move(actor)),
        net::rethrow_failure);
}

std::optional<Refusal> Upgrader::why_not() const {
    if (replaced_) return Refusal{409, "another process has taken over from this one already"};
    if (stopped_) return Refusal{409, proxy_stops};
    if (!parts_.server.running())
        return Refusal{409, "the proxy is starting; try again in a moment"};
    if (busy_) return Refusal{409, "an upgrade is under way"};
    if (auto possible = check_replaceable(::getpid()); !possible)
        return Refusal{409, possible.error()};
    if (auto reason = parts_.reloader.only_here()) return Refusal{409, *std::move(reason)};
    const auto most = parts_.server.config().process.max_old_processes;
    if (const auto old = parts_.old.with_sessions(); old > most)
        return Refusal{409,
                       fmt::format("{} old processes have connections yet, more than "
                                   "process.max_old_processes = {}: wait, end one, or raise it",
                                   old, most)};
    return std::nullopt;
}

awaitable<Outcome<Upgraded>> Upgrader::upgrade(std::string actor) {
    if (auto refusal = why_not()) co_return std::unexpected(*std::move(refusal));
    busy_ = true;
    // No reload moves the sockets while they are handed over.
    auto taking = parts_.reloader.take_turn();
    const Reloader::Turn turn = co_await std::move(taking);
    if (!stopped_) parts_.manager.notify(reloading_lines(SteadyClock().now()));
    std::expected<Ready, std::string> ready;
    try {
        auto replacing = replace();
        ready = co_await std::move(replacing);
    } catch (const std::exception& e) {  // no memory
        ready = std::unexpected(std::string(e.what()));
    }
    busy_ = false;
    auto& service = parts_.admin.service();
    if (!ready) co_return std::unexpected(Refusal{409, fail(ready.error(), actor)});
    parts_.manager.notify(main_pid_line(ready->pid) + "\nREADY=1");
    const Upgraded upgraded{ready->pid, ready->version, parts_.server.connections()};
    parts_.log.info("upgrade: process {} (version {}) has taken over; {} connection{} here{}",
                    ready->pid, ready->version, with_commas(upgraded.sessions),
                    upgraded.sessions == 1 ? " stays" : "s stay",
                    actor.empty() ? "" : ", by " + actor);
    service.record_upgrade(true, fmt::format("process {} has taken over", ready->pid), actor);
    if (parts_.reloader.is_wanted()) {
        parts_.log.info("the reload that was asked for meanwhile is up to process {}", ready->pid);
        next_->signal(SIGHUP);
    }
    parts_.old.stop();
    on_replaced_();
    asio::co_spawn(parts_.context, tell_figures(), net::rethrow_failure);
    asio::co_spawn(parts_.context, answer_requests(), net::rethrow_failure);
    co_return upgraded;
}

std::string Upgrader::fail(const std::string& reason, const std::string& actor) {
    if (!stopped_) parts_.manager.notify("READY=1");
    next_.reset();
    parts_.old.take_back();
    // What went wrong, that was the end of this process.
    const std::string said = stopped_ ? proxy_stops : reason;
    const std::string all = stopped_ ? said : said + "; this process goes on";
    parts_.log.error("upgrade: {}", all);
    parts_.admin.service().record_upgrade(false, said, actor);
    return all;
}

awaitable<std::expected<NewProcess, std::string>> Upgrader::start() {
    starting_ = true;
    auto launching = off_thread(parts_.context, starter_,
                                [program = parts_.program, launcher = parts_.launcher] {
                                    return NewProcess::launch(program, *launcher);
                                });
    auto launched = co_await std::move(launching);
    starting_ = false;
    if (!launched) co_return std::unexpected(launched.error());
    co_return NewProcess::watch(parts_.context, *std::move(launched));
}

awaitable<std::expected<Ready, std::string>> Upgrader::replace() {
    auto giving = parts_.old.hand_over();
    auto handover = co_await std::move(giving);
    if (stopped_) co_return std::unexpected(proxy_stops);
    auto starting = start();
    auto started = co_await std::move(starting);
    if (stopped_) co_return std::unexpected(proxy_stops);
    if (!started) co_return std::unexpected(started.error());
    next_.emplace(*std::move(started));
    parts_.log.info("upgrade: started process {}", next_->pid());
    std::vector<int> fds;
    Manifest manifest = make_manifest(handover, fds);
    auto handing = next_->hand_over(std::move(manifest), fds, {});
    auto ready = co_await std::move(handing);
    // The flag first: whoever runs next must not begin to stop in between.
    if (ready) replaced_ = true;
    co_return ready;
}

Manifest Upgrader::make_manifest(OldProcesses::Handover& handover, std::vector<int>& fds) const {
    Manifest manifest{.version = std::string(version()), .pid = ::getpid()};
    parts_.admin.service().fill_manifest(manifest);
    for (const auto& group : parts_.server.sockets().groups()) {
        manifest.sockets.push_back({.bind = group.bind,
                                    .bound = group.sockets.sockets.front().bound().to_string(),
                                    .listener = group.listener,
                                    .count = group.fds.size(),
                                    .unix_device = group.sockets.unix_device,
                                    .unix_inode = group.sockets.unix_inode,
                                    .passed_as = group.sockets.passed_as.name,
                                    .passed_number = group.sockets.passed_as.number});
        fds.insert(fds.end(), group.fds.begin(), group.fds.end());
    }
    parts_.server.sockets().spare().list(manifest.sockets, fds);
    for (const auto& door : parts_.admin.server().listening()) {
        manifest.admin_sockets.push_back({.bind = door.address.to_string(),
                                          .bound = door.address.to_string(),
                                          .count = 1,
                                          .unix_device = door.unix_device,
                                          .unix_inode = door.unix_inode});
        fds.push_back(door.fd);
    }
    manifest.ticket_keys = parts_.ticket_keys.leave(parts_.server.config(), SteadyClock().now());
    manifest.gone = std::move(handover.gone);
    manifest.older = std::move(handover.older);
    for (const auto& channel : handover.channels) fds.push_back(channel.get());
    return manifest;
}

awaitable<bool> Upgrader::send_figures(TimePoint until) {
    Figures figures = parts_.admin.service().figures();
    figures.takes_orders = true;
    const TimePoint now = SteadyClock().now();
    if (deadline_ != no_deadline) figures.left = std::max(deadline_ - now, Duration{});
    auto sending = next_->channel().send(encode(figures), {}, until);
    const auto sent = co_await std::move(sending);
    co_return sent.has_value();
}

// However long it does not listen: it may be trying to be replaced.
awaitable<void> Upgrader::tell_figures() {
    while (!stopped_) {
        auto sending = send_figures(no_deadline);
        if (!co_await std::move(sending)) co_return;  // nobody wants to know any more
        timer_.expires_after(figures_interval);
        auto waiting = timer_.async_wait(net::as_result);
        co_await std::move(waiting);
    }
}

awaitable<void> Upgrader::say_last_figures() {
    if (!replaced_) co_return;
    auto sending = send_figures(SteadyClock().now() + last_figures_limit);
    static_cast<void>(co_await std::move(sending));
}

awaitable<void> Upgrader::answer_requests() {
    while (!stopped_) {
        auto receiving = next_->channel().receive(no_deadline);
        auto message = co_await std::move(receiving);
        if (!message) {
            if (!stopped_) on_successor_gone_();
            co_return;
        }
        auto decoded = decode(message->bytes);
        if (!decoded) continue;
        auto answering = answer(*std::move(decoded));
        auto answer = co_await std::move(answering);
        if (!answer) continue;
        auto sending = next_->channel().send(encode(*answer), {}, no_deadline);
        static_cast<void>(co_await std::move(sending));
    }
}

awaitable<std::optional<Message>> Upgrader::answer(Message question) {
    auto& service = parts_.admin.service();
    if (const auto* request = std::get_if<SessionsRequest>(&question)) {
        auto asking = service.sessions(request->filter);
        auto sessions = co_await std::move(asking);
        co_return SessionsAnswer{request->number, std::move(admin::to_json(sessions).as_array())};
    }
    if (auto* order = std::get_if<Order>(&question)) {
        auto obeying = service.obey(std::move(*order));
        auto answer = co_await std::move(obeying);
        co_return std::move(answer);
    }
    co_return std::nullopt;
}

}  // namespace penstock::app::upgrade
