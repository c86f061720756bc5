#include "app/reload/followed_files.hpp"

#include <set>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/diagnostics.hpp"
#include "app/reload/planner.hpp"
#include "app/with_commas.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;

using asio::awaitable;

FollowedFiles::FollowedFiles(Parts parts)
    : parts_(std::move(parts)), watch_(parts_.context, parts_.log), start_(parts_.context) {}

void FollowedFiles::stop() {
    stopped_ = true;
    watch_.stop();
    start_.cancel();
}

void FollowedFiles::follow(const std::vector<std::string>& files,
                           const std::vector<std::string>& patterns, Others others) {
    if (parts_.server.config().process.watch_config == config::WatchConfig::off)
        return watch_.clear();
    std::set<std::string> all(files.begin(), files.end());
    all.insert(patterns.begin(), patterns.end());
    if (others == Others::go) watch_.keep_only(all);
    // What changed since it was read was not watched yet.
    if (watch_also(files, patterns))
        asio::co_spawn(parts_.context, look_again(), net::rethrow_failure);
}

bool FollowedFiles::watch_also(const std::vector<std::string>& files,
                               const std::vector<std::string>& patterns) {
    // A change may have switched it off while somebody looked.
    if (parts_.server.config().process.watch_config == config::WatchConfig::off) return false;
    bool any_new = false;
    const auto watch = [&](const std::vector<std::string>& paths, auto add) {
        for (const auto& path : paths) {
            if (watch_.watches(path)) continue;
            (watch_.*add)(path, [this] { on_change(); });
            any_new = true;
        }
    };
    watch(files, &net::FileWatch::add);
    watch(patterns, &net::FileWatch::add_pattern);
    return any_new;
}

awaitable<void> FollowedFiles::look_again() {
    constexpr std::chrono::milliseconds a_moment{200};
    while (!parts_.server.running() && !stopped_) {
        start_.expires_after(a_moment);
        auto waiting = start_.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    auto looking = parts_.look();
    const Look seen = co_await std::move(looking);
    if (stopped_) co_return;
    follow(seen.files, seen.patterns, seen.plan.valid() ? Others::go : Others::stay);
    if (!seen.plan.valid() || !seen.plan.changes.empty()) on_change();
}

void FollowedFiles::on_change() {
    if (stopped_) return;
    if (parts_.server.config().process.watch_config == config::WatchConfig::apply)
        return parts_.apply();
    // Files that were swapped together are reported one after the other.
    if (std::exchange(asked_, true)) return;
    asio::post(parts_.context, [this] {
        asked_ = false;
        if (!stopped_) asio::co_spawn(parts_.context, tell(), net::rethrow_failure);
    });
}

awaitable<void> FollowedFiles::tell() {
    auto looking = parts_.look();
    Look seen = co_await std::move(looking);
    // A file that is named for the first time is where a mistake may be mended.
    while (!stopped_ && watch_also(seen.files, seen.patterns)) {
        auto once_more = parts_.look();
        seen = co_await std::move(once_more);
    }
    if (stopped_) co_return;
    const auto& plan = seen.plan;
    if (!plan.valid()) {
        for (const auto& problem : plan.problems)
            if (problem.severity == config::Severity::error)
                parts_.log.error("configuration: {}: {}", place_of(problem), problem.message);
        parts_.log.error("configuration: a reload would be refused; the one in force stays");
        co_return;
    }
    for (const auto& change : plan.changes) parts_.log.info("configuration: {}", in_words(change));
    if (plan.changes.empty())
        parts_.log.info("configuration: a file has changed, what it says has not");
    else
        parts_.log.warn(
            "configuration: {} change{} on disk; apply with: penstock reload --expect {}",
            with_commas(plan.changes.size()), plan.changes.size() == 1 ? "" : "s", plan.digest);
}

}  // namespace penstock::app
