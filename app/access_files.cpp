#include "app/access_files.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/diagnostics.hpp"
#include "app/with_commas.hpp"
#include "config/peer_file.hpp"
#include "net/run_and_post.hpp"

namespace penstock::app {

namespace {

std::string described(const config::Listener& listener) {
    if (listener.allow_file.empty()) return listener.deny_file;
    if (listener.deny_file.empty()) return listener.allow_file;
    return listener.allow_file + " and " + listener.deny_file;
}

}  // namespace

std::expected<AccessFiles::Files, std::vector<config::Diagnostic>> AccessFiles::read(
    const config::Listener& listener) {
    Files files;
    for (const auto& [path, list] : {std::pair(&listener.allow_file, &files.allow),
                                     std::pair(&listener.deny_file, &files.deny)}) {
        if (path->empty()) continue;
        auto peers = config::read_peer_file(*path);
        if (!peers) return std::unexpected(std::move(peers.error()));
        *list = *std::move(peers);
    }
    return files;
}

std::expected<AccessFiles::Loaded, std::string> AccessFiles::load(const config::Config& config) {
    Loaded all;
    for (const auto& listener : config.listeners) {
        auto files = read(listener);
        if (!files) {
            const auto& first = files.error().front();
            return std::unexpected(
                fmt::format("listener {}: {}: {}", listener.name, place_of(first), first.message));
        }
        all.policies.push_back(proxy::AccessPolicy::make(listener, *files));
        all.files.push_back(*std::move(files));
    }
    return all;
}

AccessFiles::AccessFiles(boost::asio::io_context& context, Server& server, Logger& log)
    : context_(context), server_(server), log_(log), watch_(context, log) {}

AccessFiles::~AccessFiles() { join(); }

void AccessFiles::stop() {
    stopped_ = true;
    watch_.stop();
}

void AccessFiles::prepare(const config::Config& config) {
    const bool any = std::ranges::any_of(config.listeners, [](const config::Listener& listener) {
        return !listener.allow_file.empty() || !listener.deny_file.empty();
    });
    if (any && !builder_) builder_.emplace();
}

void AccessFiles::follow(const ConfigPtr& config, std::vector<Files> loaded) {
    prepare(*config);
    watch_.clear();
    listeners_.clear();
    for (std::size_t i = 0; i < config->listeners.size(); ++i) {
        const auto& settings = config->listeners[i];
        if (settings.allow_file.empty() && settings.deny_file.empty()) continue;
        listeners_[settings.name] = {.settings = std::make_shared<const config::Listener>(settings),
                                     .in_force = std::move(loaded[i])};
        for (const auto* path : {&settings.allow_file, &settings.deny_file})
            if (!path->empty()) watch_.add(*path, [this, name = settings.name] { reload(name); });
        // What changed since it was loaded was not watched yet.
        reload(settings.name);
    }
}

void AccessFiles::reload(const std::string& name) {
    Listener& listener = listeners_.at(name);
    if (listener.building) {
        listener.changed_again = true;
        return;
    }
    listener.building = true;
    const auto build = [settings = listener.settings] {
        Built built{read(*settings), nullptr};
        if (built.files) built.policy = proxy::AccessPolicy::make(*settings, *built.files);
        return built;
    };
    net::run_and_post(builder_->pool(), context_, build,
                      [this, settings = listener.settings](net::Made<Built> made) {
                          if (!made)
                              made = Built{std::unexpected(std::vector{problem_with(
                                               described(*settings), net::words_of(made.error()))}),
                                           nullptr};
                          on_built(settings, *std::move(made));
                      });
}

void AccessFiles::on_built(const std::shared_ptr<const config::Listener>& settings, Built built) {
    const auto found = listeners_.find(settings->name);
    // The configuration may have changed meanwhile.
    if (stopped_ || found == listeners_.end() || found->second.settings != settings) return;
    Listener& listener = found->second;
    listener.building = false;
    if (!built.files) {
        ++rejected_;
        for (const auto& problem : built.files.error())
            log_.error("listener {}: {}: {}", settings->name, place_of(problem), problem.message);
        log_.error("listener {}: the lists of peers stay as they are", settings->name);
    } else if (*built.files != listener.in_force) {
        ++taken_;
        listener.in_force = *std::move(built.files);
        server_.set_access(settings->name, std::move(built.policy));
        log_.info("listener {}: {}: {} networks to allow, {} to deny are in force", settings->name,
                  described(*settings), listener.in_force.allow.prefixes.size(),
                  listener.in_force.deny.prefixes.size());
    }
    if (std::exchange(listener.changed_again, false)) reload(settings->name);
}

std::string AccessFiles::summary() const {
    if (taken_ + rejected_ == 0) return {};
    return fmt::format("; lists of peers: {} changes taken, {} rejected", with_commas(taken_),
                       with_commas(rejected_));
}

}  // namespace penstock::app
